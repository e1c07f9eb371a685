# SPDX-License-Identifier: Apache-2.0
"""Evaluate a model made by train.py on patients that it has not seen.

    evaluate.py --model MODEL.npz UNSEEN.csv

Prints one JSON object: accuracy, recall (the share of malignant tumours found), auc, patients.
"""

import argparse
import json
import sys

import numpy as np
from numpy.typing import NDArray


def auc(scores: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    """The chance that a malignant tumour scores higher than a benign one; ties count half."""
    malignant, benign = scores[labels == 1], scores[labels == 0]
    difference = malignant[:, None] - benign[None, :]
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())


def main() -> None:
    """Read the command line and the model, and print how well it does."""
    parser = argparse.ArgumentParser(description="Evaluate a model on unseen patients.")
    parser.add_argument("--model", required=True, metavar="MODEL.npz")
    parser.add_argument("records", metavar="UNSEEN.csv")
    arguments = parser.parse_args()
    table = np.loadtxt(arguments.records, delimiter=",", skiprows=1, ndmin=2)
    features, labels = table[:, :-1], table[:, -1]
    with np.load(arguments.model, allow_pickle=False) as model:
        mean, scale, weights = model["mean"], model["scale"], model["weights"]
    scores = (features - mean) / scale @ weights[:-1] + weights[-1]
    found = scores > 0.0
    result = {
        "accuracy": round(float((found == (labels == 1)).mean()), 6),
        "recall": round(float(found[labels == 1].mean()), 6),
        "auc": round(auc(scores, labels), 6),
        "patients": len(labels),
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
