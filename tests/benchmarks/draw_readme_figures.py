"""Draws the README's two pictures anew: `hf-dsd demo`, then `python tests/benchmarks/draw_readme_figures.py`.

Needs chromium. Takes the folder of the demo's runs, by default runs/demo-captioning.
"""

import base64
import io
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "report"))

from headless_browser import headless_page  # noqa: E402

FIGURES = ROOT / "examples" / "figures"
WIDTH, HEIGHT = 1180, 960  # of the page that is shown, from its top


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "runs" / "demo-captioning"
    FIGURES.mkdir(exist_ok=True)
    save(Image.open(folder / "figures" / "weights.png"), 1400, "weights.png")
    with TemporaryDirectory() as profile, headless_page(Path(profile)) as page:
        page.open(folder / "report.html", WIDTH, HEIGHT)
        clip = {"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT, "scale": 1}
        shot = page.send("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]
    save(Image.open(io.BytesIO(base64.b64decode(shot))), 900, "report.png")


def save(picture: Image.Image, width: int, name: str) -> None:
    """Writes a picture of few colours, so that a clone stays small."""
    small = picture.convert("RGB").resize((width, width * picture.height // picture.width), Image.Resampling.LANCZOS)
    small.quantize(64, dither=Image.Dither.NONE).save(FIGURES / name, optimize=True)
    print(f"{FIGURES / name}: {(FIGURES / name).stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
