"""botocore's descriptions of services, read by us: the same as botocore reads."""

import json

import pytest
from botocore.exceptions import DataNotFoundError
from botocore.loaders import Loader, create_loader

from millstream.sinks.models import loader

pytestmark = pytest.mark.once


@pytest.mark.parametrize("service", ["s3", "sqs", "dynamodb", "sts"])
@pytest.mark.parametrize("kind", ["service-2", "endpoint-rule-set-1", "paginators-1", "waiters-2"])
def test_what_is_read_is_what_botocore_reads(service, kind):
    try:
        wanted = Loader().load_service_model(service, kind)
    except DataNotFoundError:
        with pytest.raises(DataNotFoundError):
            loader(None).load_service_model(service, kind)
        return
    found = loader(None).load_service_model(service, kind)
    assert json.dumps(found) == json.dumps(wanted)  # in the same order


@pytest.mark.parametrize("name", ["endpoints", "partitions", "_retry", "sdk-default-configuration"])
def test_other_data_is_read_too(name):
    assert loader(None).load_data(name) == Loader().load_data(name)


def test_a_service_that_is_not_there_is_an_error():
    with pytest.raises(DataNotFoundError):
        loader(None).load_service_model("nobody", "service-2")


def test_descriptions_of_ones_own_come_first(tmp_path, monkeypatch):
    (tmp_path / "s3" / "2006-03-01").mkdir(parents=True)
    (tmp_path / "s3" / "2006-03-01" / "service-2.json").write_text('{"own": true}')
    (tmp_path / "mine" / "1").mkdir(parents=True)
    (tmp_path / "mine" / "1" / "service-2.json").write_text("{}")
    monkeypatch.setenv("PLACE", str(tmp_path))
    for made in (loader("$PLACE"), create_loader("$PLACE")):
        assert made.load_service_model("s3", "service-2")["own"] is True
        assert made.load_service_model("mine", "service-2") == {}
