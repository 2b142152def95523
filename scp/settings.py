"""What the receiver must know; filled by the application."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class ReceiverSettings:
    """Settings of one listener.

    Attributes
    ----------
    ae_title
        Our AE title; associations that call another are rejected.
    host, port
        Where to listen; port 0 takes a free one.
    quiet_seconds
        Per modality: a study is due when no further image arrives for this long.
    quiet_seconds_default
        The same for modalities not listed.
    release_seconds
        A study is due this long after the sending association is released; 0 turns it off.
    maximum_associations
        More are rejected: local limit exceeded.
    maximum_pdu_size
        Bytes; announced to the peer.
    network_timeout_seconds
        A peer that is silent for this long is aborted.
    floor_bytes_per_second
        A peer that sends less than this within a message, over ``network_timeout_seconds``, is
        aborted.
    share_port
        Whether other receivers may listen on the same port.
    """

    ae_title: str
    host: str
    port: int
    quiet_seconds: Mapping[str, float] = field(default_factory=dict)
    quiet_seconds_default: float = 30.0
    release_seconds: float = 1.0
    maximum_associations: int = 100
    maximum_pdu_size: int = 131_072
    network_timeout_seconds: float = 60.0
    floor_bytes_per_second: float = 1000.0
    share_port: bool = False

    def quiet(self, modality: str) -> float:
        """Quiet time of a modality, seconds."""
        return self.quiet_seconds.get(modality, self.quiet_seconds_default)
