//! Pixels become numbers.

use super::simd::versions;

versions! {
    /// `out = (pixel - shift) * scale`, in this order of operations (the ONNX file's).
    pub(crate) fn scale_pixels(pixels: &[u8], shift: f32, scale: f32, out: &mut [f32]) {
        for (slot, &pixel) in out.iter_mut().zip(pixels) {
            *slot = (f32::from(pixel) - shift) * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_is_scaled_as_one_by_one() {
        let pixels: Vec<u8> = (0..=255).chain(0..100).collect();
        let mut out = vec![0.0; pixels.len()];
        scale_pixels(&pixels, 33.3, 1.0 / 255.0, &mut out);
        let expected: Vec<f32> = pixels.iter().map(|p| (f32::from(*p) - 33.3) * (1.0 / 255.0)).collect();
        assert_eq!(out, expected);
    }
}
