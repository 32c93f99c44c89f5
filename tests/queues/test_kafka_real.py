"""The contract of queues on a real Kafka, when DICOMLAKE_KAFKA names its brokers."""

from __future__ import annotations

import os
import secrets

import pytest

from dicomlake.settings import QueueSettings
from tests.queues.test_kafka import KafkaContract

BROKERS = os.environ.get("DICOMLAKE_KAFKA", "")

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(not BROKERS, reason="no Kafka: DICOMLAKE_KAFKA names no brokers"),
]


class TestRealBroker(KafkaContract):
    patience_s = 30.0

    @pytest.fixture(scope="class")
    @classmethod
    def new_settings(cls):
        return lambda: QueueSettings(
            kind="kafka", brokers=BROKERS, prefix=f"t{secrets.token_hex(4)}"
        )
