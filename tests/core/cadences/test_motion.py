import numpy as np
import pytest

from gaiaflux.core.cadences.motion import KERNEL_PARAMETERS, kernel_offsets, kernel_series, measured_shifts

PLACES = np.array([[0.0, 0.0], [10.0, 2.0], [5.0, -3.0]])


def test_unknown_shifts_are_interpolated_in_time_and_told():
    shift = np.array([[0.0, 1.0], [np.nan, 1.5], [2.0, 3.0], [np.nan, np.nan], [4.0, np.nan]])
    found = measured_shifts(shift, np.array([0.0, 1.0, 4.0, 2.0, 9.0]))
    assert found.known.tolist() == [True, False, True, False, False]
    np.testing.assert_allclose(found.shift, [[0, 1], [0.5, 1.5], [2, 3], [1, 2], [2, 3]])


def test_without_any_shift_or_time_it_is_zero():
    found = measured_shifts(np.full((3, 2), np.nan), np.arange(3.0))
    assert not found.known.any()
    assert not found.shift.any()
    lost = measured_shifts(np.array([[1.0, 1.0], [np.nan, 0.0]]), np.array([0.0, np.nan]))
    assert lost.shift.tolist() == [[1, 1], [0, 0]]


def test_each_kind_of_movement():
    assert KERNEL_PARAMETERS == {"unchanged": 0, "translation": 2, "euclidian": 3, "affine": 6}
    assert not kernel_offsets("unchanged", np.zeros(0), PLACES).any()
    np.testing.assert_allclose(kernel_offsets("translation", np.array([1.0, -2.0]), PLACES), [[1, -2]] * 3)
    quarter = kernel_offsets("euclidian", np.array([1.0, 0.0, np.pi / 2]), PLACES)
    np.testing.assert_allclose(PLACES + quarter, [[1, 0], [-1, 10], [4, 5]], atol=1e-12)
    affine = kernel_offsets("affine", np.array([2.0, 0.0, 0.5, 1.0, 1.0, 0.0]), PLACES)
    np.testing.assert_allclose(PLACES + affine, [[0.5, 0], [20.5, 12], [10.5, 2]])


def test_a_rotation_is_an_affine_movement():
    angle = 0.3
    matrix = [np.cos(angle), -np.sin(angle), 1.5, np.sin(angle), np.cos(angle), -0.5]
    one = kernel_offsets("euclidian", np.array([[1.5, -0.5, angle]] * 2), PLACES)
    assert one.shape == (2, 3, 2)
    np.testing.assert_allclose(one[0], kernel_offsets("affine", np.array(matrix), PLACES), atol=1e-12)


def test_a_series_is_linear_in_time_and_holds_for_one_step():
    bad = [np.nan, 0.0]
    series = kernel_series("translation", np.array([3.0, 1.0, 2.0, 0.0]), np.array([[3.0, 0.0], [1.0, 0.0], bad, bad]))
    assert series.step == 2.0
    np.testing.assert_allclose(series.at(np.array([1.5, -0.9, 4.9]))[:, 0], [1.5, 1.0, 3.0])
    assert series.offsets(np.array([1.0, 2.0]), PLACES).shape == (2, 3, 2)
    np.testing.assert_allclose(series.offsets(np.array([2.0]), PLACES)[0], [[2, 0]] * 3)
    for time in (-1.1, 5.1):
        with pytest.raises(ValueError, match="which the kernels describe"):
            series.at(np.array([time]))
    with pytest.raises(ValueError, match="not finite"):
        series.at(np.array([np.nan]))


def test_a_field_that_does_not_move_has_no_end():
    series = kernel_series("unchanged", np.array([1.0, 2.0]), np.zeros((2, 0)))
    assert not series.offsets(np.array([-50.0, 50.0]), PLACES).any()


@pytest.mark.parametrize(
    ("mode", "parameters", "message"),
    [
        ("wobble", np.zeros((2, 2)), "none of unchanged"),
        ("translation", np.zeros((2, 3)), r"\(2, 2\) is due"),
        ("translation", np.full((2, 2), np.nan), "no movement kernel is finite"),
    ],
)
def test_wrong_kernels_are_refused(mode, parameters, message):
    with pytest.raises(ValueError, match=message):
        kernel_series(mode, np.arange(2.0), parameters)
