# SPDX-License-Identifier: Apache-2.0
"""One job from policy to bundle: fetching outputs, making and verifying bundles."""

from accord.jobs._bundle_create import create_bundle
from accord.jobs._bundle_files import BundleFiles
from accord.jobs._bundle_verify import BundleReport, verify_bundle
from accord.jobs._outputs import fetch_output

__all__ = ["BundleFiles", "BundleReport", "create_bundle", "fetch_output", "verify_bundle"]
