//! A series drawn out, larger or smaller, and with noise (Um et al. 2017; Le Guennec, Malinowski and Tavenard 2016).

use super::Draws;
use crate::features::Affine;
use crate::spec::SeriesAugment;

/// Changes the raw values of a series, oldest first; missing ones stay missing. `start` is where the stretch begins, from
/// 0 to below 1 of the places it could.
pub(super) fn change(
    spec: &SeriesAugment,
    affine: Affine,
    start: f64,
    values: &mut [f32],
    before: &mut Vec<f32>,
    draws: &mut Draws,
) {
    if spec.window < 1.0 && values.len() > 1 {
        before.clear();
        before.extend_from_slice(values);
        draw_out(spec.window, start, before, values);
    }
    let factor = (1.0 + spec.scale * draws.normal()) as f32;
    // Around what the network reads as 0.
    values.iter_mut().for_each(|x| *x = affine.shift + (*x - affine.shift) * factor);
    if spec.jitter > 0.0 {
        let deviation = spec.jitter / f64::from(affine.scale.abs()).max(f64::from(f32::MIN_POSITIVE));
        values.iter_mut().for_each(|x| *x += (deviation * draws.normal()) as f32);
    }
}

/// Writes a stretch of this share of the steps over all of them, straight lines between its values.
fn draw_out(share: f64, start: f64, from: &[f32], to: &mut [f32]) {
    let last = (from.len() - 1) as f64;
    let length = share * last;
    for (step, slot) in to.iter_mut().enumerate() {
        let place = start * (last - length) + step as f64 / last * length;
        let (whole, part) = (place.floor(), (place - place.floor()) as f32);
        let left = from[whole as usize];
        *slot = if part == 0.0 { left } else { (1.0 - part) * left + part * from[whole as usize + 1] };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn a_stretch_is_drawn_out_in_straight_lines() {
        let check = |share, start, expected: [f32; 5]| {
            let mut to = [0.0; 5];
            draw_out(share, start, &[0.0, 10.0, 20.0, 40.0, 80.0], &mut to);
            assert_eq!(to, expected, "{share} from {start}");
        };
        check(0.5, 0.0, [0.0, 5.0, 10.0, 15.0, 20.0]);
        check(0.5, 0.5, [10.0, 15.0, 20.0, 30.0, 40.0]);
        check(1.0, 0.7, [0.0, 10.0, 20.0, 40.0, 80.0]);
        let mut to = [0.0; 3];
        draw_out(0.5, 0.0, &[f32::NAN, 1.0, 2.0], &mut to);
        assert!(to[0].is_nan() && to[1].is_nan() && to[2] == 1.0, "{to:?}");
    }

    #[test]
    fn noise_and_factor_are_in_the_units_of_the_scaled_series() {
        let affine = Affine { shift: 5.0, scale: 0.1 };
        let changed = |spec: SeriesAugment, seed: u64, value: f32| {
            let mut values = vec![value; 10_000];
            change(&spec, affine, 0.0, &mut values, &mut Vec::new(), &mut Draws::new(Stream::new(seed, 0)));
            values
        };
        let noisy = changed(SeriesAugment { jitter: 0.3, ..SeriesAugment::default() }, 1, 20.0);
        let deviation = (noisy.iter().map(|x| f64::from(x - 20.0).powi(2)).sum::<f64>() / 1e4).sqrt();
        assert!((deviation - 3.0).abs() < 0.1, "{deviation}");
        let factors: Vec<f64> = (0..2_000)
            .map(|seed| {
                let mut values = [25.0, 5.0];
                let spec = SeriesAugment { scale: 0.1, ..SeriesAugment::default() };
                change(&spec, affine, 0.0, &mut values, &mut Vec::new(), &mut Draws::new(Stream::new(seed, 0)));
                assert_eq!(values[1], 5.0);
                f64::from(values[0] - 5.0) / 20.0
            })
            .collect();
        let mean = factors.iter().sum::<f64>() / 2e3;
        let deviation = (factors.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 2e3).sqrt();
        assert!((mean - 1.0).abs() < 0.01 && (deviation - 0.1).abs() < 0.01, "{mean} {deviation}");
        assert!(
            changed(SeriesAugment { jitter: 1.0, scale: 1.0, window: 0.5 }, 1, f32::NAN).iter().all(|x| x.is_nan())
        );
    }
}
