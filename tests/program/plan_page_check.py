"""Opens a page of `dtrain plan` in Chromium as a window, as a phone, dark and on paper, and prints what is wrong with it: a line each.

    plan_page_check.py CHROMIUM PAGE [FOLDER]       FOLDER: where to leave screenshots and the PDF
"""
import sys

from browser import Browser

# What is wrong with the page as it is shown. A text may lie over a line, never over another text or beyond its drawing.
CHECK = r"""
(() => {
  const wrong = [], shown = e => e.getClientRects().length > 0 && getComputedStyle(e).visibility !== 'hidden';
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) wrong.push(`the page is ${root.scrollWidth} wide, in a window of ${root.clientWidth}`);
  const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
  for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) wrong.push(`two elements have the id ${id}`);
  for (const svg of document.querySelectorAll('svg:not([aria-hidden])')) {
    const names = (svg.getAttribute('aria-labelledby') || '').split(' ').map(id => document.getElementById(id));
    if (svg.getAttribute('role') !== 'img' || names.length !== 2 || names.some(e => !e || !e.textContent.trim()))
      wrong.push('a drawing without a title and a description');
  }
  const charts = [...document.querySelectorAll('svg[role=img]')].filter(shown);
  if (charts.length === 0 && document.querySelector('svg[role=img]')) wrong.push('no drawing is shown');
  for (const svg of charts) {
    const name = svg.querySelector('title').textContent, frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll('text')].map(e => ({e, text: e.textContent, box: e.getBoundingClientRect()}));
    for (const t of texts)
      if (t.box.left < frame.left - 1 || t.box.right > frame.right + 1 || t.box.top < frame.top - 1 || t.box.bottom > frame.bottom + 1)
        wrong.push(`${name}: "${t.text}" leaves the drawing`);
    for (let i = 0; i < texts.length; i++)
      for (let k = 0; k < i; k++) {
        const a = texts[i].box, b = texts[k].box, edge = 2;   // boxes have the height of a line: letters are smaller
        if (a.left + edge < b.right && b.left + edge < a.right && a.top + edge < b.bottom && b.top + edge < a.bottom)
          wrong.push(`${name}: "${texts[i].text}" overlaps "${texts[k].text}"`);
      }
    if (texts.length && Math.min(...texts.map(t => t.box.height)) < 9) wrong.push(`${name}: texts are too small`);
    const cells = [...svg.closest('section').querySelectorAll('details th, details td')].map(e => e.textContent);
    const figures = [...svg.querySelectorAll('text.figure, text.figure-in, text.limit-name, g > title')].map(e => e.textContent);
    const numbers = new Set(cells.flatMap(text => text.match(/\d[\d.,]*\d|\d/g) || []));
    for (const text of figures)
      for (const number of text.replace(/95 %|[a-z]+\d[\w-]*\.\w+/g, '').match(/\d[\d.,]*\d|\d/g) || [])
        if (!numbers.has(number))
          wrong.push(`${name}: ${number} of "${text}" is not in the table`);
  }
  return wrong;
})()
"""

# Beyond what style sheets can be read for: the contrast of each text with what is behind it.
CONTRAST = r"""
(() => {
  const channel = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const parse = c => { const m = c.match(/[\d.]+/g).map(Number); return m.length === 4 && m[3] === 0 ? null : m; };
  const luminance = c => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const ground = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c) return c; } return [255, 255, 255]; };
  const wrong = new Set();
  for (const e of document.querySelectorAll('h1, h2, h3, p, dt, dd, td, th, caption, summary, code, li, small, text')) {
    if (!e.getClientRects().length || !e.textContent.trim()) continue;
    const style = getComputedStyle(e), front = parse(e.tagName === 'text' ? style.fill : style.color), stage = e.parentElement.querySelector('.stage');
    const back = stage ? parse(getComputedStyle(stage).fill) : ground(e);
    const [a, b] = [luminance(front), luminance(back)], contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) wrong.add(`${e.tagName} ${e.className.baseVal || e.className}: contrast ${contrast.toFixed(2)}`);
  }
  return [...wrong];
})()
"""

FORMS = [("1280", 1280, False, "screen"), ("390", 390, False, "screen"), ("dark", 1280, True, "screen"), ("dark-390", 390, True, "screen"),
         ("print", 680, False, "print"), ("print-dark", 680, True, "print")]


def main(chromium, page, folder=None):
    wrong = []
    with Browser(chromium) as browser:
        for name, width, dark, media in FORMS:
            browser.open(page, width, dark, media)
            wrong += [f"{name}: {problem}" for problem in browser.seen + browser.evaluate(CHECK) + browser.evaluate(CONTRAST)]
            background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
            if (background == "rgb(255, 255, 255)") == (dark and media == "screen"):
                wrong.append(f"{name}: the background is {background}")
            if folder:
                browser.screenshot(f"{folder}/{name}.png")
        closed = browser.evaluate("[...document.querySelectorAll('details:not(.long) table')].filter(e => !e.checkVisibility({contentVisibilityAuto: true})).length")
        if closed:
            wrong.append(f"print: {closed} tables of figures are folded")
        browser.open(page)
        pdf = browser.pdf()
        if not pdf.startswith(b"%PDF-") or len(pdf) < 10000:
            wrong.append(f"print: no PDF of a page ({len(pdf)} bytes)")
        if folder:
            open(f"{folder}/page.pdf", "wb").write(pdf)
        wrong += [f"PDF: {problem}" for problem in browser.seen]
    print("\n".join(wrong) or "nothing is wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
