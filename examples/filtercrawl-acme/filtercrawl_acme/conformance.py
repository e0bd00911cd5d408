"""An invented zoo like acme, by which the source is checked.

`python -m filtercrawl_acme.conformance > filtercrawl.toml` serves it, and writes down where.
"""

from collections.abc import Mapping

from filtercrawl.testing import FakeZoo, FileServer, demo

PAGE = 2


class AcmeZoo(FakeZoo):
    @property
    def settings(self) -> Mapping[str, str]:
        return {"index": f"{self.server.url}/index.json"}

    def serve(self) -> None:
        """List what there is in pages; the address of a file tells where it is signed, and is not the file's own."""
        rows = [self.row(name) for name in self.weights]
        pages = [rows[start : start + PAGE] for start in range(0, len(rows), PAGE)] or [[]]
        for number, page in enumerate(pages):
            following = f'<{self.server.url}/page/{number + 1}>; rel="next"'
            headers = {"Link": following} if number + 1 < len(pages) else {}
            self.server.json(f"/page/{number}", page, headers)
            if number == 0:
                self.server.json("/index.json", page, headers)

    def row(self, name: str) -> dict:
        self.server.json(f"/store/{name}.signed", {"url": self.url(name)})
        return {
            "name": name,
            "url": f"{self.server.url}/store/{name}",
            "size": len(self.weights[name]),
            "sha256": self.sha256(name),
            "license": "MIT",
            "retracted": name.startswith("retracted"),
        }


def conformance(server: FileServer) -> FakeZoo:
    return AcmeZoo(server)


if __name__ == "__main__":
    demo(conformance, "acme")
