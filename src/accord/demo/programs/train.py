# SPDX-License-Identifier: Apache-2.0
"""Train a logistic regression on CSV files of patient records.

    train.py --out MODEL.npz RECORDS.csv [RECORDS.csv ...]

Each file has a header line; its last column is 1 for a malignant tumour and 0 for a benign one.
This is an ordinary NumPy program: it knows nothing of encryption, TEEs or accord.
"""

import argparse
import sys

import numpy as np
from numpy.typing import NDArray

RIDGE = 1.0  # L2 penalty on the weights, not on the intercept
MAX_STEPS = 50
TOLERANCE = 1e-10


def load(path: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Features and labels of one file."""
    table = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
    return table[:, :-1], table[:, -1]


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logistic function, without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def fit(features: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Newton's method; the last weight is the intercept. Deterministic: nothing is drawn."""
    rows, columns = features.shape
    design = np.hstack([features, np.ones((rows, 1))])
    penalty = np.full(columns + 1, RIDGE)
    penalty[-1] = 0.0
    weights = np.zeros(columns + 1)
    for _ in range(MAX_STEPS):
        predicted = sigmoid(design @ weights)
        gradient = design.T @ (predicted - labels) + penalty * weights
        curvature = np.maximum(predicted * (1.0 - predicted), 1e-9)
        hessian = (design.T * curvature) @ design + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        weights -= step
        if np.max(np.abs(step)) < TOLERANCE:
            break
    return weights


def main() -> None:
    """Read the command line, train, and write the model: three arrays, no pickle."""
    parser = argparse.ArgumentParser(description="Train a logistic regression on CSV files.")
    parser.add_argument("--out", required=True, metavar="MODEL.npz")
    parser.add_argument("records", nargs="+", metavar="RECORDS.csv")
    arguments = parser.parse_args()
    parts = [load(path) for path in arguments.records]
    features = np.vstack([part[0] for part in parts])
    labels = np.concatenate([part[1] for part in parts])
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale == 0.0] = 1.0
    weights = fit((features - mean) / scale, labels)
    np.savez(arguments.out, mean=mean, scale=scale, weights=weights)
    malignant = int(labels.sum())
    sys.stdout.write(f"trained on {len(labels)} patients, {malignant} of them malignant\n")


if __name__ == "__main__":
    main()
