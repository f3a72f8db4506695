//! A picture brighter, darker, or with noise.

use super::Draws;

/// All pixels times a factor of 1 plus or minus up to `most`.
pub(super) fn brighten(most: f64, pixels: &mut [u8], mut draws: Draws) {
    multiply(1.0 + draws.either_side(most), pixels);
}

fn multiply(factor: f64, pixels: &mut [u8]) {
    // Casts stop at 0 and 255.
    pixels.iter_mut().for_each(|pixel| *pixel = (f64::from(*pixel) * factor).round() as u8);
}

/// Adds noise with this share of white as its standard deviation, to each pixel of each channel.
pub(super) fn add_noise(share: f64, pixels: &mut [u8], mut draws: Draws) {
    pixels.iter_mut().for_each(|pixel| *pixel = (f64::from(*pixel) + 255.0 * share * draws.normal()).round() as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn brightness_is_a_factor_within_white() {
        let mut pixels = [0, 10, 100, 200, 255];
        multiply(1.5, &mut pixels);
        assert_eq!(pixels, [0, 15, 150, 255, 255]);
        multiply(0.1, &mut pixels);
        assert_eq!(pixels, [0, 2, 15, 26, 26]);
        let factors: Vec<u8> = (0..300)
            .map(|row| {
                let mut pixel = [100];
                brighten(0.2, &mut pixel, Draws::new(Stream::new(row, 0)));
                pixel[0]
            })
            .collect();
        assert_eq!((factors.iter().min(), factors.iter().max()), (Some(&80), Some(&120)));
    }

    #[test]
    fn noise_has_the_deviation_asked_for() {
        let mut pixels = [128; 10_000];
        add_noise(0.05, &mut pixels, Draws::new(Stream::new(1, 2)));
        let off = |pixel: &u8| f64::from(*pixel) - 128.0;
        let mean = pixels.iter().map(off).sum::<f64>() / 1e4;
        let deviation = (pixels.iter().map(|pixel| off(pixel).powi(2)).sum::<f64>() / 1e4).sqrt();
        // 0.05 of 255 is 12.75; rounding adds a twelfth to its square.
        assert!(mean.abs() < 0.6 && (deviation - 12.75).abs() < 0.4, "{mean} {deviation}");
    }
}
