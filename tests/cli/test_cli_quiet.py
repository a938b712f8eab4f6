"""The warning about keys that ropewalk writes for other engines is left out; every other one is shown."""

from __future__ import annotations

import logging

import pytest

from ropewalk.cli.quiet import ROPE_LOGGER, hush


@pytest.fixture
def heard():
    hush()
    hush()
    logger, found = logging.getLogger(ROPE_LOGGER), []

    class Ear(logging.Handler):
        def emit(self, record):
            found.append(record.getMessage())

    ear = Ear()
    logger.addHandler(ear)
    yield logger, found
    logger.removeHandler(ear)
    for one in tuple(logger.filters):
        logger.removeFilter(one)


SAID = "Unrecognized keys in `rope_parameters` for 'rope_type'='longrope': "


@pytest.mark.parametrize(
    ("keys", "shown"),
    [
        ("{'long_mscale', 'short_mscale'}", False),
        ("{'short_mscale'}", False),
        ("{'long_mscale', 'facter'}", True),
        ("{'facter'}", True),
    ],
)
def test_only_our_own_keys_go_unmentioned(heard, keys, shown):
    logger, found = heard
    logger.warning(SAID + keys)
    assert found == ([SAID + keys] if shown else [])


def test_transformers_warns_as_the_filter_reads_it(heard):
    from transformers import LlamaConfig

    _, found = heard
    setting = {
        "rope_type": "longrope",
        "rope_theta": 500.0,
        "factor": 2.0,
        "attention_factor": 1.0,
        "original_max_position_embeddings": 256,
        "short_factor": [1.0, 1.0],
        "long_factor": [2.0, 2.0],
    }
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "max_position_embeddings": 512}
    LlamaConfig(**sizes, rope_parameters=setting | {"short_mscale": 1.0, "long_mscale": 1.0})
    assert found == []
    LlamaConfig(**sizes, rope_parameters=setting | {"facter": 1.0})
    assert len(found) == 1
    assert "facter" in found[0]
