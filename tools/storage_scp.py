"""A small storage SCP that keeps what it gets in memory: the PACS where none can be installed."""

from __future__ import annotations

from typing import Self

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from tools.ports import free_port


class StorageScp:
    """Accepts every storage SOP class, uncompressed."""

    ae_title = "PACS"

    def __init__(self) -> None:
        self.port = free_port()
        self._objects: dict[str, Dataset] = {}
        self._ae = AE(self.ae_title)
        self._ae.add_supported_context(Verification)
        syntaxes = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
        for each in AllStoragePresentationContexts:
            assert each.abstract_syntax is not None
            self._ae.add_supported_context(each.abstract_syntax, syntaxes)

    def datasets(self) -> list[Dataset]:
        """Every object that came, the first of each UID."""
        return list(self._objects.values())

    def __enter__(self) -> Self:
        handlers: list[evt.EventHandlerType] = [(evt.EVT_C_STORE, self._on_store)]
        self._ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        return self

    def __exit__(self, *_: object) -> None:
        self._ae.shutdown()

    def _on_store(self, event: evt.Event) -> int:
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        self._objects.setdefault(str(dataset.SOPInstanceUID), dataset)
        return 0
