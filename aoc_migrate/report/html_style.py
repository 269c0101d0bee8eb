"""The style sheet of the HTML report: light and dark, narrow and wide, on paper."""

STYLE = """
:root {
  --paper: #fff; --ink: #1b1f24; --quiet: #515a64; --line: #c9d1d9; --sheet: #f6f8fa;
  --error: #a40e26; --warning: #7a4d00; --info: #0a3069; --ok: #116329; --bar: #0969da;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #0d1117; --ink: #e6edf3; --quiet: #a3adb8; --line: #3d444d; --sheet: #161b22;
    --error: #ff9a94; --warning: #e3b341; --info: #79c0ff; --ok: #56d364; --bar: #4493f8;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1rem; max-width: 70rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1 { font-size: 1.6rem; line-height: 1.25; margin: .5rem 0; }
h2 { font-size: 1.35rem; margin: 2rem 0 .5rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; }
h4 { font-size: 1rem; margin: 0 0 .25rem; }
p { margin: .25rem 0; }
code, pre { font: .9em/1.45 ui-monospace, monospace; }
pre { margin: .25rem 0; padding: .75rem; background: var(--sheet); white-space: pre-wrap; }
:is(a, summary, .scroll):focus-visible { outline: 3px solid var(--bar); outline-offset: 2px; }
.skip { position: absolute; left: -999rem; }
.skip:focus { position: static; }
.mark { padding: .1rem .4rem; border: 1px solid; border-radius: .25rem; font-size: .8rem; }
.mark.error { color: var(--error); }
.mark.warning { color: var(--warning); }
.mark.info { color: var(--info); }
.mark.ok { color: var(--ok); }
article {
  margin: .75rem 0; padding: .75rem; border: 1px solid var(--line); border-left-width: .35rem;
  content-visibility: auto; contain-intrinsic-size: auto 8rem;
}
article.error { border-left-color: var(--error); }
article.warning { border-left-color: var(--warning); }
article.info { border-left-color: var(--info); }
summary { cursor: pointer; padding: .25rem 0; color: var(--quiet); }
a { color: var(--bar); }
.scroll { overflow-x: auto; position: relative; }
table { border-collapse: collapse; font-size: .9rem; }
caption { text-align: left; color: var(--quiet); padding: .25rem 0; }
:is(h3, summary) + .scroll caption {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
}
th, td { text-align: left; vertical-align: top; padding: .3rem .75rem; border-bottom: 1px solid var(--line); }
td { max-width: 40rem; overflow-wrap: break-word; }
th { white-space: nowrap; background: var(--sheet); }
.number { text-align: right; }
.number, .measure { font-variant-numeric: tabular-nums; white-space: nowrap; }
.short { display: flex; flex-wrap: wrap; gap: .25rem .5rem; margin: .25rem 0; padding: 0; list-style: none; }
.short li { padding: 0 .4rem; background: var(--sheet); font: .9em/1.45 ui-monospace, monospace; }
svg { background: var(--sheet); vertical-align: middle; }
.bar { fill: var(--bar); }
@media print {
  :root { --paper: #fff; --ink: #000; --quiet: #333; --line: #999; --sheet: #fff;
    --error: #a40e26; --warning: #7a4d00; --info: #0a3069; --ok: #116329; --bar: #555; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  .skip { display: none; }
  .scroll { overflow: visible; }
  table { font-size: 7.5pt; }
  th, td { padding: .2rem .25rem; white-space: normal; overflow-wrap: anywhere; }
  .text { min-width: 4.5em; }
  article { content-visibility: visible; }
  tr { break-inside: avoid; }
  h2, h3, h4 { break-after: avoid; }
  details::details-content { display: block; content-visibility: visible; height: auto; }
}
"""
