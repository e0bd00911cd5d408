"""An invented zoo like acme, by which the source is checked.

`python -m filtercrawl_acme.conformance > filtercrawl.toml` serves it, and writes down where.
"""

from collections.abc import Mapping

from filtercrawl.testing import FakeZoo, FileServer, demo


class AcmeZoo(FakeZoo):
    @property
    def settings(self) -> Mapping[str, str]:
        return {"index": f"{self.server.url}/index.json"}

    def serve(self) -> None:
        """List what there is in pages; the address of a file tells where it is signed, and is not the file's own."""
        self.put_pages("/index.json", [self.row(name) for name in self.weights])

    def row(self, name: str) -> dict:
        self.server.json(f"/store/{name}.signed", {"url": self.url(name)})
        return {
            "name": name,
            "url": f"{self.server.url}/store/{name}",
            "size": len(self.weights[name]),
            "sha256": self.sha256(name),
            "license": self.license(name),
            "retracted": name.startswith("retracted"),
        }


def conformance(server: FileServer) -> FakeZoo:
    return AcmeZoo(server)


if __name__ == "__main__":
    demo(conformance, "acme")
