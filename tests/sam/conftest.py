"""A stack for each set of parameters that matters. Without SAM's translator these tests are skipped, and say so."""

import pytest

pytest.importorskip("samtranslator", reason="SAM's translator is not installed: pip install aws-sam-translator")


@pytest.fixture(scope="session", autouse=True)
def _region():
    """The translator asks boto3 for one, and nothing of it gets into what it gives."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        yield
