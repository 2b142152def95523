"""How the association's thread and pynetdicom's take turns at the socket."""

from __future__ import annotations

import threading

from pynetdicom.timer import Timer

from scp.upper_layer import ParkingDUL


def test_a_thread_that_has_not_woken_up_yet_does_not_count_as_parked_again() -> None:
    """Else what it was given back, mostly a release request, stayed unread until a timeout."""
    dul = ParkingDUL.__new__(ParkingDUL)
    dul._turn, dul._idle_timer = threading.Condition(), Timer(60)
    dul._wanted = dul._parked = True
    dul.resume()
    assert not dul.park()
