//! How is the next batch prepared while the network learns from this one? By a thread of its own, in room that goes round.

use std::sync::mpsc::sync_channel;
use std::thread;

use super::Flow;
use crate::Result;

/// Batches on their way: one is learned from, the next is ready, one is being prepared.
const ROOMS: usize = 3;

/// Calls `learn` with each item and what `prepare` made of it, in order, until it stops or fails; `prepare` is ahead on
/// another thread.
pub(super) fn ahead<I: Copy + Send, T: Default + Send>(
    items: impl Iterator<Item = I> + Send,
    prepare: impl Fn(I, &mut T) + Send,
    mut learn: impl FnMut(I, &T) -> Result<Flow>,
) -> Result<Flow> {
    thread::scope(|scope| {
        let (ready, next) = sync_channel(ROOMS);
        let (back, rooms) = sync_channel(ROOMS);
        for _ in 0..ROOMS {
            // There is room for all of them, and the other end is held.
            let _ = back.send(T::default());
        }
        scope.spawn(move || {
            for item in items {
                // Either end is gone where nothing more is wanted.
                let Ok(mut room) = rooms.recv() else { return };
                prepare(item, &mut room);
                if ready.send((item, room)).is_err() {
                    return;
                }
            }
        });
        for (item, room) in next {
            if learn(item, &room)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
            let _ = back.send(room);
        }
        Ok(Flow::Continue)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn items_come_in_order_until_one_stops_or_fails() {
        let run = |last: usize, end: Result<Flow>| {
            let (mut seen, mut end) = (Vec::new(), Some(end));
            let found = ahead(
                0..100usize,
                |item, squares: &mut Vec<usize>| squares.extend([item, item * item]),
                |item, squares| {
                    seen.extend_from_slice(&squares[squares.len() - 2..]);
                    if item == last { end.take().unwrap() } else { Ok(Flow::Continue) }
                },
            );
            assert_eq!(seen, (0..=last.min(99)).flat_map(|item| [item, item * item]).collect::<Vec<_>>());
            found
        };
        assert_eq!(run(100, Ok(Flow::Stop)).unwrap(), Flow::Continue);
        assert_eq!(run(40, Ok(Flow::Stop)).unwrap(), Flow::Stop);
        assert!(run(7, Err(Error::invalid("enough"))).is_err());
    }

    #[test]
    #[should_panic(expected = "scoped thread panicked")]
    fn a_panic_of_the_other_thread_is_not_lost() {
        let _ = ahead(0..3, |_, _: &mut ()| std::panic::resume_unwind(Box::new("lost")), |_, _| Ok(Flow::Continue));
    }
}
