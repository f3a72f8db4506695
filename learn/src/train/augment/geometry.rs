//! A picture turned, resized, moved and mirrored: one map of places and one bilinear resampling.

use super::Draws;
use crate::spec::{Border, Flip, ImageAugment};

/// Size of a picture `[height, width, channels]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Picture {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
}

/// What happens to a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Map {
    /// Counter-clockwise, in radians.
    pub(super) turn: f64,
    /// Above 1 enlarges.
    pub(super) scale: f64,
    /// To the right and down, in pixels.
    pub(super) shift: [f64; 2],
    /// Left to right, upside down; after all else.
    pub(super) flip: [bool; 2],
}

/// The map of a row; none where no setting asks for one.
pub(super) fn draw(spec: &ImageAugment, picture: Picture, mut draws: Draws) -> Option<Map> {
    let asked = spec.rotate > 0.0 || spec.scale > 0.0 || spec.shift > 0.0 || spec.crop > 0 || spec.flip != Flip::None;
    if !asked {
        return None;
    }
    let turn = draws.either_side(spec.rotate).to_radians();
    let scale = 1.0 + draws.either_side(spec.scale);
    let shift = [picture.width, picture.height].map(|side| {
        let moved = draws.either_side(spec.shift) * side as f64;
        moved + draws.below(2 * spec.crop + 1) as f64 - spec.crop as f64
    });
    let may = [matches!(spec.flip, Flip::Horizontal | Flip::Both), matches!(spec.flip, Flip::Vertical | Flip::Both)];
    let flip = may.map(|may| may && draws.uniform() < 0.5);
    Some(Map { turn, scale, shift, flip })
}

/// Writes the picture `from` as the map shows it: every pixel is the bilinear mean of four around the place it comes from.
pub(super) fn resample(picture: Picture, map: Map, border: Border, from: &[u8], to: &mut [u8]) {
    let Picture { height, width, channels } = picture;
    let centre = [width, height].map(|side| (side as f64 - 1.0) / 2.0);
    let (sine, cosine) = map.turn.sin_cos();
    let mirror = map.flip.map(|flip| if flip { -1.0 } else { 1.0 });
    for (y, line) in to.chunks_exact_mut(width * channels).enumerate() {
        let v = mirror[1] * (y as f64 - centre[1]) - map.shift[1];
        for (x, pixel) in line.chunks_exact_mut(channels).enumerate() {
            let u = mirror[0] * (x as f64 - centre[0]) - map.shift[0];
            // Back by the turn; the second coordinate points down.
            let place =
                [(u * cosine - v * sine) / map.scale + centre[0], (u * sine + v * cosine) / map.scale + centre[1]];
            sample([height, width], border, from, place, pixel);
        }
    }
}

/// The bilinear mean around a place (right, down).
fn sample([height, width]: [usize; 2], border: Border, from: &[u8], place: [f64; 2], pixel: &mut [u8]) {
    let channels = pixel.len();
    let corner = place.map(f64::floor);
    let [right, down] = [0, 1].map(|axis| (place[axis] - corner[axis]) as f32);
    let [left, top] = corner.map(|corner| corner as i64);
    // Where the four pixels begin; none outside of a black border.
    let at = |x: i64, y: i64| {
        let (near_x, near_y) = (x.clamp(0, width as i64 - 1), y.clamp(0, height as i64 - 1));
        let is_inside = (near_x, near_y) == (x, y) || border == Border::Nearest;
        is_inside.then_some((near_y as usize * width + near_x as usize) * channels)
    };
    let four = [at(left, top), at(left + 1, top), at(left, top + 1), at(left + 1, top + 1)];
    let shares = [(1.0 - right) * (1.0 - down), right * (1.0 - down), (1.0 - right) * down, right * down];
    for (channel, out) in pixel.iter_mut().enumerate() {
        let parts = four.iter().zip(shares);
        let mean: f32 = parts.map(|(at, share)| at.map_or(0.0, |at| share * f32::from(from[at + channel]))).sum();
        *out = (mean + 0.5) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    const STILL: Map = Map { turn: 0.0, scale: 1.0, shift: [0.0, 0.0], flip: [false, false] };
    /// 3 x 3, grey.
    const SQUARE: [u8; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 9];

    fn check(map: Map, border: Border, expected: [u8; 9]) {
        let mut to = [0; 9];
        resample(Picture { height: 3, width: 3, channels: 1 }, map, border, &SQUARE, &mut to);
        assert_eq!(to, expected, "{map:?}, {border:?}");
    }

    #[test]
    fn a_small_picture_is_changed_as_by_hand() {
        let black = Border::Black;
        check(STILL, black, SQUARE);
        check(Map { turn: std::f64::consts::FRAC_PI_2, ..STILL }, black, [3, 6, 9, 2, 5, 8, 1, 4, 7]);
        check(Map { turn: std::f64::consts::PI, ..STILL }, black, [9, 8, 7, 6, 5, 4, 3, 2, 1]);
        check(Map { flip: [true, false], ..STILL }, black, [3, 2, 1, 6, 5, 4, 9, 8, 7]);
        check(Map { flip: [false, true], ..STILL }, black, [7, 8, 9, 4, 5, 6, 1, 2, 3]);
        let right_and_down = Map { shift: [1.0, 1.0], ..STILL };
        check(right_and_down, black, [0, 0, 0, 0, 1, 2, 0, 4, 5]);
        check(right_and_down, Border::Nearest, [1, 1, 2, 1, 1, 2, 4, 4, 5]);
        // Mirrored after it was moved.
        check(Map { flip: [true, false], ..right_and_down }, black, [0, 0, 0, 2, 1, 0, 5, 4, 0]);
        // Half a pixel to the left: the mean of two, 1.5 rounded up; beyond the right edge half of it is black.
        check(Map { shift: [-0.5, 0.0], ..STILL }, black, [2, 3, 2, 5, 6, 3, 8, 9, 5]);
        // Twice as large: corners come from half a pixel around the middle, (1 + 2 + 4 + 5) / 4 = 3.
        check(Map { scale: 2.0, ..STILL }, black, [3, 4, 4, 5, 5, 6, 6, 7, 7]);
        // Half as large: only the middle lies inside.
        check(Map { scale: 0.5, ..STILL }, black, [0, 0, 0, 0, 5, 0, 0, 0, 0]);
    }

    #[test]
    fn colours_stay_together_and_sides_of_different_length_are_kept_apart() {
        let picture = Picture { height: 1, width: 2, channels: 3 };
        let mut to = [0; 6];
        let map = Map { flip: [true, true], ..STILL };
        resample(picture, map, Border::Black, &[1, 2, 3, 40, 50, 60], &mut to);
        assert_eq!(to, [40, 50, 60, 1, 2, 3]);
        resample(picture, Map { shift: [1.0, 0.0], ..STILL }, Border::Black, &[1, 2, 3, 40, 50, 60], &mut to);
        assert_eq!(to, [0, 0, 0, 1, 2, 3]);
    }

    #[test]
    fn maps_stay_within_what_was_asked() {
        let picture = Picture { height: 20, width: 40, channels: 1 };
        let drawn = |spec: &ImageAugment| -> Vec<Map> {
            (0..500).filter_map(|row| draw(spec, picture, Draws::new(Stream::new(row, 0)))).collect()
        };
        assert_eq!(drawn(&ImageAugment::default()), []);
        let crop = ImageAugment { crop: 2, flip: Flip::Horizontal, ..ImageAugment::default() };
        for map in drawn(&crop) {
            assert!(map.shift.iter().all(|moved| moved.fract() == 0.0 && moved.abs() <= 2.0), "{map:?}");
            assert!((map.turn, map.scale, map.flip[1]) == (0.0, 1.0, false), "{map:?}");
        }
        let mirrored = drawn(&crop).iter().filter(|map| map.flip[0]).count();
        assert!((200..300).contains(&mirrored), "{mirrored}");
        let places: std::collections::BTreeSet<i64> = drawn(&crop).iter().map(|map| map.shift[0] as i64).collect();
        assert_eq!(places, (-2..=2).collect());
        let all = ImageAugment { rotate: 10.0, scale: 0.2, shift: 0.1, ..ImageAugment::default() };
        let (maps, largest) = (drawn(&all), 10f64.to_radians());
        assert!(maps.iter().all(|map| map.turn.abs() <= largest && (0.8..=1.2).contains(&map.scale)));
        assert!(maps.iter().all(|map| map.shift[0].abs() <= 4.0 && map.shift[1].abs() <= 2.0));
        assert!(maps.iter().any(|map| map.turn.abs() > 0.9 * largest) && maps.iter().any(|map| map.scale > 1.18));
    }
}
