//! Numbers that several threads write, each in places of its own.

use std::marker::PhantomData;

/// A borrowed slice whose parts are handed out to threads that share no place of it.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a> {
    start: *mut f32,
    length: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: whoever asks for parts vouches that no two threads hold the same place (`part`).
unsafe impl Sync for Shared<'_> {}
// SAFETY: as above; the numbers themselves may go to any thread.
unsafe impl Send for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(super) fn of(numbers: &'a mut [f32]) -> Self {
        Self { start: numbers.as_mut_ptr(), length: numbers.len(), borrow: PhantomData }
    }

    /// How many numbers.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Where the numbers begin.
    pub(super) fn start(&self) -> *mut f32 {
        self.start
    }

    /// The numbers `at..at + length`; checked to lie inside.
    ///
    /// # Safety
    /// As long as the part is in use, nobody else may read or write a place of it.
    #[inline(always)]
    pub(super) unsafe fn part(&self, at: usize, length: usize) -> &'a mut [f32] {
        assert!(at <= self.length && length <= self.length - at, "{at} + {length} of {}", self.length);
        // SAFETY: inside the borrowed numbers, and the caller vouches that no one else uses these.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), length) }
    }
}
