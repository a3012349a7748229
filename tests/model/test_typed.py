from dataclasses import dataclass

import pytest

from gaiaflux.model.typed import typed


@dataclass(frozen=True, kw_only=True)
class Inner:
    marks: str
    offset_h: float | None


@dataclass(frozen=True, kw_only=True)
class Section:
    radius: float
    radii: tuple[float, ...] | None
    order: int
    keyword: float | str | None
    plane: int | str | None
    inner: Inner | None


def test_values_get_their_types():
    section = typed(
        Section,
        {"radius": 2, "radii": [1, 2.5], "order": 3, "keyword": "GAIN", "plane": 0, "inner": {"marks": "mid"}},
    )
    assert section == Section(
        radius=2.0, radii=(1.0, 2.5), order=3, keyword="GAIN", plane=0, inner=Inner(marks="mid", offset_h=None)
    )
    assert [type(value) for value in (section.radius, section.radii[0], section.order)] == [float, float, int]
    assert type(typed(Section, {"radius": 1.0, "order": 1, "keyword": 2}).keyword) is float


def test_what_is_not_given_is_none():
    section = typed(Section, {"radius": 1.0, "order": 0, "radii": None})
    assert (section.radii, section.keyword, section.plane, section.inner) == (None, None, None, None)


def test_an_unknown_key_is_refused():
    with pytest.raises(TypeError, match="Section has no radus"):
        typed(Section, {"radus": 1.0, "order": 0})


def test_a_missing_key_is_refused():
    with pytest.raises(TypeError, match="Section lacks order: settings are complete"):
        typed(Section, {"radius": 1.0})
    with pytest.raises(TypeError, match="Section lacks radius, order"):
        typed(Section, None)
