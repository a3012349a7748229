"""The page's text with places for what is filled in (Jinja)."""

__all__ = ["PAGE"]

_STYLE = """
:root { color-scheme: light; }
body { margin: 0; background: #fff; color: #222; font: 15px/1.55 "Helvetica Neue", Helvetica, Arial, "Liberation Sans",
  sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 2.2rem 1.5rem 4rem; }
h1 { font-size: 1.9rem; font-weight: 600; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 1.2rem; font-weight: 600; margin: 2.8rem 0 .7rem; padding-top: .7rem; border-top: 1px solid #ddd; }
h3 { font-size: 1rem; font-weight: 600; margin: 1.6rem 0 .4rem; }
p, ul { max-width: 46rem; } p { margin: .5rem 0; } ul { margin: .4rem 0; padding-left: 1.2rem; }
.sub { color: #666; margin: .2rem 0 0; }
nav { margin: 1rem 0 0; font-size: .9rem; } nav a { margin-right: 1.1rem; }
a { color: #00588a; text-decoration: none; } a:hover { text-decoration: underline; }
.numbers { display: flex; flex-wrap: wrap; gap: 1.2rem 2.6rem; margin: 1.6rem 0 .5rem; }
.numbers div { max-width: 12rem; }
.numbers b { display: block; font-size: 1.45rem; font-weight: 600; line-height: 1.2; }
.numbers span { color: #666; font-size: .85rem; line-height: 1.3; display: block; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; margin: .5rem 0; }
th { text-align: left; font-weight: 600; color: #555; border-bottom: 1px solid #bbb; vertical-align: bottom; }
th, td { padding: .22rem 1.1rem .22rem 0; } td { border-bottom: 1px solid #eee; vertical-align: top; }
.r { text-align: right; } .facts td:first-child { color: #666; white-space: nowrap; }
.facts td { overflow-wrap: anywhere; }
.scroll { max-height: 26rem; overflow: auto; }
figure { margin: .8rem 0; } figure img { display: block; max-width: 100%; height: auto; }
figcaption { color: #555; font-size: .86rem; max-width: 52rem; margin-top: .3rem; }
.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: .6rem 1.4rem; }
.curves figure { margin: .4rem 0; } .curves figcaption { margin: 0 0 .1rem; color: #222; }
.curves figure:target figcaption { color: #b34700; }
pre { background: #f6f6f6; padding: .8rem 1rem; overflow: auto; font-size: .8rem; line-height: 1.4; }
summary { cursor: pointer; color: #00588a; }
@media print { main { max-width: none; padding: 0; } nav { display: none; } .scroll { max-height: none; } }
"""

_MACROS = """
{%- macro facts(rows) -%}
<table class="facts">{% for name, value in rows %}<tr><td>{{ name }}</td><td>{{ value }}</td></tr>
{% endfor %}</table>
{%- endmacro -%}
{%- macro stars(rows) -%}
<table><thead><tr><th class="r">rank</th><th class="r">star_id</th><th class="r">source_id</th>
<th class="r">{{ band }}</th>
<th class="r">scatter<br>(mmag)</th><th class="r">expected<br>(mmag)</th><th class="r">reduced<br>χ²</th>
<th class="r">excess</th><th class="r">points</th><th>position (ICRS)</th></tr></thead><tbody>
{% for star in rows %}<tr><td class="r">{{ star.rank }}</td>
<td class="r">{% if star.anchor %}<a href="#{{ star.anchor }}">{{ star.star_id }}</a>{% else %}{{ star.star_id }}
{%- endif %}</td>
<td class="r">{{ star.source_id }}</td><td class="r">{{ star.mag }}</td><td class="r">{{ star.scatter }}</td>
<td class="r">{{ star.expected }}</td><td class="r">{{ star.chi2 }}</td><td class="r">{{ star.excess }}</td>
<td class="r">{{ star.points }}</td><td>{{ star.position }}</td></tr>
{% endfor %}</tbody></table>
{%- endmacro -%}
"""

PAGE = (
    _MACROS
    + """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ name }}: gaiaflux report</title>
<style>"""
    + _STYLE
    + """</style></head><body><main>
<h1>{{ name }}</h1>
<p class="sub">gaiaflux {{ versions.gaiaflux }}, dataset of {{ created }}</p>
<nav><a href="#left-out">What was left out</a><a href="#conditions">Conditions</a>
{%- if ccds %}<a href="#images">Images</a>{% endif %}

{%- if plate %}<a href="#astrometry">Astrometry</a>{% endif %}
{%- if comparison %}<a href="#comparison">Methods</a>{% endif %}
{%- for method in methods %}<a href="#{{ method.name }}">Photometry
{%- if methods | length > 1 %} ({{ method.name }}){% endif %}</a>{% endfor %}<a href="#origin">Origin</a></nav>
<div class="numbers">{% for value, label in key_numbers %}<div><b>{{ value }}</b><span>{{ label }}</span></div>
{% endfor %}</div>
{{ facts(headline) }}

<h2 id="left-out">What was left out, and why</h2>
<ul>{% for sentence in omissions %}<li>{{ sentence }}</li>
{% endfor %}</ul>
{% if left_out %}<div class="scroll"><table><thead><tr><th>file</th><th>reason</th></tr></thead>
<tbody>{% for file, reason in left_out %}<tr><td>{{ file }}</td><td>{{ reason }}</td></tr>
{% endfor %}</tbody></table></div>{% endif %}
{% if bad_frames %}<div class="scroll"><table><thead><tr><th>frame</th><th>MJD (UTC)</th><th>reason</th></tr></thead>
<tbody>{% for frame in bad_frames %}<tr><td>{{ frame.frame_id }}</td><td>{{ frame.mjd }}</td>
<td>{{ frame.reason }}</td></tr>
{% endfor %}</tbody></table></div>{% endif %}

<h2 id="conditions">Conditions</h2>
<figure><img src="{{ conditions }}" alt="Seeing, sky, transparency, plate solution and stars of each frame">
<figcaption>One point per frame. Transparency is pscale: 1 for a typical frame, more where more light arrives.
Scatter / error compares the residuals of bright single stars in a frame with their predicted errors: 1 where the errors
hold.{% if lost %} Red ticks at the foot: frames that were not measured.{% endif %}
{% if not one_night %} Vertical lines: gaps of more than half a day.{% endif %}
 All numbers of the frames are in frames.csv beside this page.</figcaption></figure>

{% if ccds %}<h2 id="images">Full-frame images</h2>
{% for ccd in ccds %}<h3>{{ ccd.title }}: {{ ccd.n_frames }}</h3>
<figure><img src="{{ ccd.field }}" alt="Mean image with the measured stars; pixels of stars">
<figcaption>Left: mean of the good frames, the sky and what the pixels make of it taken off, with the stars that were
measured in it. Right: pixels that stars light; the others tell the sky.</figcaption></figure>
<figure><img src="{{ ccd.sky }}" alt="Sky of some frames, and its level against time">
<figcaption>Sky of some frames (with the days of the axis below), all in one scale, and its median in each frame, as
measured and smoothed over at most three frames.</figcaption></figure>
<figure><img src="{{ ccd.motion }}" alt="Movement of the images against time">
<figcaption>How far the middle of each image has moved against the mean, and the error of that. Frames that are 3 pixels
and more off are not drawn.</figcaption></figure>
{% if ccd.flags %}<table><thead><tr><th>flag</th><th class="r">frames</th><th>meaning</th></tr></thead><tbody>
{% for row in ccd.flags %}<tr><td>{{ row.flag }}</td><td class="r">{{ row.count }}</td><td>{{ row.meaning }}</td></tr>
{% endfor %}</tbody></table>{% endif %}
{% if ccd.remarks %}<ul>{% for remark in ccd.remarks %}<li>{{ remark }}</li>
{% endfor %}</ul>{% endif %}
{% endfor %}{% endif %}
{% if plate %}<h2 id="astrometry">Astrometry</h2>
<figure><img src="{{ plate }}" alt="Pointing of the frames and distortion of the plate solution">
<figcaption>Left: centres of the frames from their refined plate solutions (cross: reference image). Then: distortion of
the reference image (SIP terms).{% if residuals %} Right: median residuals of {{ residuals }} matched stars
(signal-to-noise ratio at least 20), in cells of the detector: what the distortion
model leaves, and blended stars where a cell has few.{% endif %}</figcaption></figure>{% endif %}

{% if comparison %}
<h2 id="comparison">Photometry: the methods side by side</h2>
<figure><img src="{{ comparison }}" alt="Scatter of the light curves by each method">
<figcaption>Left: robust scatter of the calibrated fluxes of every star that no flag spoils, by each method, with
running medians and the medians of the predicted errors. Right: scatter by
{% set other = methods[1].by if methods | length == 2 else "each other method" %}
{{ other }} over that by {{ methods[0].by }} for the same star; below 1 {{ other }} does better. Variable stars scatter
by all alike.</figcaption></figure>
{% endif %}
{% for method in methods %}
<h2 id="{{ method.name }}">{{ method.title }}</h2>
<p>{{ method.sentence }}</p>
<figure><img src="{{ method.precision }}" alt="Scatter of the light curves against magnitude; histogram of chi-squared">
<figcaption>Left: robust scatter (1.4826 median absolute deviation, as magnitudes) of the calibrated fluxes of every
star with at least {{ least_points }} points, without its flagged points. Black line: median of the predicted errors;
thin lines: what they are made of (sky: with read-out and background). Stars whose magnitude the catalogue lacks are put
at their own. Circles: the most variable single stars, with ranks. Right: reduced χ² about the weighted mean, against
what constant stars with right errors would give (values outside are put into the first and last bin).</figcaption>
</figure>
{% if method.facts %}<h3>{{ "Point-spread function" if method.holds_psf else "What it says of the frames" }}</h3>
{{ facts(method.facts) }}
{% if method.psf %}<figure><img src="{{ method.psf }}" alt="Point-spread function of the reference image">
<figcaption>PSF of the reference image at its corners, sides and middle; what changes over the field; what the stars
show beside the analytic core; and its width, with sticks along the long axis of the ellipse. Its facts for every frame
are among the conditions and in frames.csv.</figcaption></figure>{% endif %}{% endif %}
{% if method.variable %}<h3>Most variable stars</h3>
<p>Excess is the root of the reduced χ² (without the point farthest off) over its usual value for stars of that
brightness: 1 is a quiet star. A high excess is a reason to look, not yet a discovery.</p>
{{ stars(method.variable) }}{% endif %}
{% if method.blended %}<h3>Set apart: {{ method.blend }}</h3>
<p>Their light changes with the neighbour's: treat with care.</p>
{{ stars(method.blended) }}{% endif %}
{% if method.curves %}<h3>Light curves</h3>
<div class="curves">{% for curve in method.curves %}<figure id="{{ curve.anchor }}"><figcaption>{{ curve.title }}
</figcaption><img src="{{ curve.image }}" alt="Light curve of star {{ curve.star_id }}"></figure>
{% endfor %}</div>
<p class="sub">Red: the most variable single stars. Blue: bright constant stars. Hollow grey: flagged points.</p>
{% endif %}
<h3>Map</h3>
<figure><img src="{{ method.map }}" alt="Map of the stars, coloured by excess">
<figcaption>Stars {{ place }}, larger where brighter, coloured by their excess; pale grey: not judged.
Excesses that crowd in one place hint at the image rather than at the stars.</figcaption></figure>
{% if method.flags %}<h3>Flags</h3>
<table><thead><tr><th>flag</th><th class="r">points</th><th class="r">part</th><th>meaning</th></tr></thead><tbody>
{% for flag, points, part, meaning in method.flags %}<tr><td>{{ flag }}</td><td class="r">{{ points }}</td>
<td class="r">{{ part }}</td><td>{{ meaning }}</td></tr>
{% endfor %}</tbody></table>{% endif %}
{% endfor %}

<h2 id="origin">Origin</h2>
<h3>Catalogue</h3>
{{ facts(catalog) }}
{% if reference %}<h3>Reference image</h3>
{{ facts(reference) }}{% endif %}
<h3>Versions</h3>
<p>{% for package, version in versions | dictsort %}
{{ package }} {{ version }}{{ ", " if not loop.last }}{% endfor %}</p>
<h3>Configuration</h3>
<details><summary>Settings that this dataset was made with</summary><pre>{{ config }}</pre></details>
</main></body></html>
"""
)
