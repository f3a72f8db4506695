//! A picture of which a square was taken out (DeVries and Taylor 2017): its middle lies anywhere in the picture, so that
//! part of the square may lie outside.

use super::{Draws, Picture};

/// Fills the square with `fill`.
pub(super) fn cut_out(side: usize, picture: Picture, fill: u8, pixels: &mut [u8], mut draws: Draws) {
    let middle = [draws.below(picture.width), draws.below(picture.height)];
    fill_square(side, middle, picture, fill, pixels);
}

fn fill_square(side: usize, [x, y]: [usize; 2], picture: Picture, fill: u8, pixels: &mut [u8]) {
    let Picture { height, width, channels } = picture;
    let range = |middle: usize, length: usize| {
        middle.saturating_sub(side / 2)..(middle + side).saturating_sub(side / 2).min(length)
    };
    let across = range(x, width);
    for line in range(y, height) {
        pixels[(line * width + across.start) * channels..(line * width + across.end) * channels].fill(fill);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    const PICTURE: Picture = Picture { height: 3, width: 4, channels: 1 };

    #[test]
    fn the_square_is_where_it_should_be() {
        let check = |side, middle, expected: [u8; 12]| {
            let mut pixels = [7; 12];
            fill_square(side, middle, PICTURE, 0, &mut pixels);
            assert_eq!(pixels, expected, "{side} at {middle:?}");
        };
        check(1, [2, 1], [7, 7, 7, 7, 7, 7, 0, 7, 7, 7, 7, 7]);
        check(2, [2, 1], [7, 0, 0, 7, 7, 0, 0, 7, 7, 7, 7, 7]);
        check(2, [0, 0], [0, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]);
        check(3, [3, 2], [7, 7, 7, 7, 7, 7, 0, 0, 7, 7, 0, 0]);
        check(9, [1, 1], [0; 12]);
    }

    #[test]
    fn every_place_is_cut_out_some_time_and_colours_together() {
        let picture = Picture { channels: 2, ..PICTURE };
        let mut times = [0; 24];
        for row in 0..1_200 {
            let mut pixels = [7; 24];
            cut_out(1, picture, 3, &mut pixels, Draws::new(Stream::new(row, 0)));
            pixels.iter().zip(&mut times).for_each(|(pixel, times)| *times += i32::from(*pixel == 3));
        }
        assert!(times.iter().all(|times| (60..150).contains(times)), "{times:?}");
        assert!(times.chunks(2).all(|pair| pair[0] == pair[1]) && times.iter().sum::<i32>() == 2_400, "{times:?}");
    }
}
