//! The product of two matrices that lie anywhere: weights and activations of layers that are not dense.
//!
//! Packing follows Goto and van de Geijn 2008: blocks of B become panels of 16 columns, blocks of A become groups of as
//! many rows as a tile has, so that the innermost loop reads memory in order. What is read once or twice is not packed.
//! Every element is a sum over k in order, in blocks of k whose size depends on k alone: neither threads nor blocks
//! of rows and columns change its bits.

use std::cell::Cell;
use std::ops::Range;

use super::buffer::{Buffer, at_least};
use super::pack::{Lines, pack};
use super::shared::Shared;
#[cfg(target_arch = "x86_64")]
use super::simd::x86;
use super::simd::{LANES, Lanes, Level, level};
use super::team::Team;
use super::tile::{Below, Beside, Columns, Regular, accumulate};

/// Most `k` per block: two panels of this height and the rows of a tile fill the first-level cache.
const K_BLOCK: usize = 320;
/// Rows of A per block, which stays in the second-level cache.
const ROW_BLOCK: usize = 192;
/// Columns of B per block.
const COLUMN_BLOCK: usize = 1024;
/// Fewer rows than this do not pay for packing B where it lies in rows.
const PACK_B_ROWS: usize = 24;
/// Fewer columns than this do not pay for packing A where it lies in rows or columns.
const PACK_A_COLUMNS: usize = 129;
/// Multiply-adds below which a second thread costs more than it gains: about 2 microseconds of one core.
const SPLIT_MIN: usize = 1 << 17;
/// Parts for each thread at most: a thread that is done takes over from one whose core is busy with something else.
const PARTS_MAX: usize = 4;
/// Multiply-adds of a part at least: some 400 microseconds of one core, for what is packed once more.
const PART_MIN: usize = 1 << 24;
/// Multiply-adds that cost as much as an element that is packed.
const PACKING: usize = 8;

/// A matrix seen through its strides: element (i, j) lies at i * row + j * column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strided<'a> {
    /// The numbers.
    pub(crate) data: &'a [f32],
    /// From one row to the next.
    pub(crate) row: usize,
    /// From one column to the next.
    pub(crate) column: usize,
}

/// `c[m, n] = (c +) a[m, k] * b[k, n]`; `c` is row-major with `c_row` numbers from row to row. Split over the team by
/// blocks of `c`.
pub(crate) fn matmul(team: &mut Team, mnk: [usize; 3], a: Strided, b: Strided, c: &mut [f32], c_row: usize, add: bool) {
    run(team, mnk, Job::new(mnk, a, b, Shared::of(c), c_row, add));
}

/// What becomes of a finished block: `c`, rows, columns.
type Finish<'f> = dyn Fn(Shared, Range<usize>, Range<usize>) + Sync + 'f;

/// `c = a * b`, of which `finish` gets every block of rows and columns once while it is still in the cache: it may read
/// and write just these numbers of `c`.
pub(crate) fn matmul_then(team: &mut Team, mnk: [usize; 3], a: Strided, b: Strided, c: &mut [f32], finish: &Finish) {
    let c = Shared::of(c);
    let job = Job::new(mnk, a, b, c, mnk[1], false);
    run(team, mnk, Job { finish: Some(&|rows, columns| finish(c, rows, columns)), ..job });
}

fn run(team: &mut Team, mnk: [usize; 3], job: Job) {
    let work = mnk.iter().product::<usize>();
    let threads = if work < SPLIT_MIN { 1 } else { team.threads() };
    if threads == 1 {
        // SAFETY: `Job::new` checked the sizes.
        return unsafe { job.run(level(), 0..mnk[0], 0..mnk[1]) };
    }
    let parts = threads * (work / (threads * PART_MIN)).clamp(1, PARTS_MAX);
    let (level, down) = (level(), parts_down(parts, mnk));
    let across = parts / down;
    team.each(threads, parts, &|_, part| {
        let rows = cut(mnk[0], 24, part % down, down); // of whole tiles at every level
        let columns = cut(mnk[1], 2 * LANES, part / down, across);
        // SAFETY: `Job::new` checked the sizes; every part of `c` is done once.
        unsafe { job.run(level, rows, columns) };
    });
}

/// Part `part` of `parts` of `0..length`, in whole units.
fn cut(length: usize, unit: usize, part: usize, parts: usize) -> Range<usize> {
    let units = length.div_ceil(unit);
    let end = |part: usize| (units * part / parts * unit).min(length);
    end(part)..end(part + 1)
}

/// Into how many parts the rows are cut (the others cut the columns): what makes the largest part smallest, where an
/// element that is packed counts like a few multiply-adds of 16 columns.
fn parts_down(parts: usize, [m, n, _]: [usize; 3]) -> usize {
    let cost = |down: usize| {
        let rows = m.div_ceil(24).div_ceil(down) * 24;
        let columns = n.div_ceil(2 * LANES).div_ceil(parts / down) * 2 * LANES;
        rows * columns + PACKING * (rows + columns)
    };
    (1..=parts).filter(|down| parts.is_multiple_of(*down)).min_by_key(|down| cost(*down)).unwrap_or(1)
}

/// A product whose sizes were checked.
struct Job<'f> {
    k: usize,
    a: *const f32,
    a_row: usize,
    a_column: usize,
    b: *const f32,
    b_row: usize,
    b_column: usize,
    c: *mut f32,
    c_row: usize,
    add: bool,
    /// What becomes of a finished block.
    finish: Option<&'f (dyn Fn(Range<usize>, Range<usize>) + Sync)>,
}

// SAFETY: A and B are only read while `matmul` borrows them; each thread writes to a part of C of its own.
unsafe impl Sync for Job<'_> {}

impl Job<'_> {
    fn new([m, n, k]: [usize; 3], a: Strided, b: Strided, c: Shared, c_row: usize, add: bool) -> Self {
        assert!(reach(m, a.row, k, a.column) <= a.data.len(), "a is smaller than {m} x {k}");
        assert!(reach(k, b.row, n, b.column) <= b.data.len(), "b is smaller than {k} x {n}");
        assert!(reach(m, c_row, n, 1) <= c.len() && (c_row >= n || m < 2), "c is smaller than {m} x {n}");
        Self {
            k,
            a: a.data.as_ptr(),
            a_row: a.row,
            a_column: a.column,
            b: b.data.as_ptr(),
            b_row: b.row,
            b_column: b.column,
            c: c.start(),
            c_row,
            add,
            finish: None,
        }
    }

    /// # Safety
    /// Rows and columns lie inside C, and no other thread works on the same.
    unsafe fn run(&self, level: Level, rows: Range<usize>, columns: Range<usize>) {
        if rows.is_empty() || columns.is_empty() {
            return;
        }
        let mut room = ROOM.take();
        // SAFETY: as said above; `level` saw the CPU.
        unsafe {
            match level {
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => avx512(self, rows, columns, &mut room),
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => avx2(self, rows, columns, &mut room),
                Level::Plain => blocks::<[f32; LANES], 4, 1>(self, rows, columns, &mut room),
            }
        }
        ROOM.set(room);
    }
}

/// How many numbers a matrix of these strides reaches over.
fn reach(rows: usize, row: usize, columns: usize, column: usize) -> usize {
    let last = |count: usize, stride: usize| (count - 1).checked_mul(stride);
    if rows == 0 || columns == 0 {
        return 0;
    }
    let end = last(rows, row).zip(last(columns, column)).and_then(|(down, right)| down.checked_add(right));
    end.and_then(|end| end.checked_add(1)).unwrap_or(usize::MAX)
}

thread_local! {
    /// Kept from call to call; taken out while in use.
    static ROOM: Cell<Room> = Cell::default();
}

/// Packed blocks of A and of B.
#[derive(Default)]
struct Room {
    a: Buffer,
    b: Buffer,
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f")]
unsafe fn avx512(job: &Job, rows: Range<usize>, columns: Range<usize>, room: &mut Room) {
    // SAFETY: as `Job::run`.
    unsafe { blocks::<x86::Avx512, 8, 2>(job, rows, columns, room) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(job: &Job, rows: Range<usize>, columns: Range<usize>, room: &mut Room) {
    // SAFETY: as `Job::run`.
    unsafe { blocks::<x86::Avx2, 6, 1>(job, rows, columns, room) }
}

/// A block of B: all its panels, or, where it was not packed, all but the last one, which was filled up.
#[derive(Clone, Copy)]
struct Block {
    panels: Columns,
    /// The last panel, where it lies elsewhere.
    last: Option<Columns>,
    columns: usize,
}

/// A block of A.
#[derive(Clone, Copy)]
enum Group {
    /// Groups of the tile's rows, each `[steps, ROWS]`.
    Packed(*const f32),
    Beside(Beside),
    Below(Below),
}

#[inline(always)]
unsafe fn blocks<V: Lanes, const ROWS: usize, const PANELS: usize>(
    job: &Job,
    rows: Range<usize>,
    columns: Range<usize>,
    room: &mut Room,
) {
    let k_block = job.k.div_ceil(job.k.div_ceil(K_BLOCK).max(1));
    for column in columns.clone().step_by(COLUMN_BLOCK) {
        let width = COLUMN_BLOCK.min(columns.end - column);
        let mut first = 0;
        loop {
            let steps = k_block.min(job.k - first);
            // SAFETY: as `Job::run`; all blocks lie inside A, B and the given part of C.
            unsafe {
                let (steps_here, columns_here) = (first..first + steps, column..column + width);
                let b = block_of_b::<V>(job, steps_here.clone(), columns_here, rows.len(), &mut room.b);
                for row in rows.clone().step_by(ROW_BLOCK) {
                    let row_end = rows.end.min(row + ROW_BLOCK);
                    let a = block_of_a::<V, ROWS>(job, row..row_end, steps_here.clone(), columns.len(), &mut room.a);
                    let part = Part {
                        b,
                        c: job.c.add(row * job.c_row + column),
                        c_row: job.c_row,
                        add: job.add || first > 0,
                        rows: row_end - row,
                        steps,
                    };
                    match a {
                        Group::Packed(start) => part.all::<V, _, ROWS, PANELS>(|group| Beside {
                            start: start.add(group.wrapping_mul(steps)),
                            step: ROWS,
                        }),
                        Group::Beside(a) => {
                            part.all::<V, _, ROWS, PANELS>(|row| Beside { start: a.start.add(row), step: a.step })
                        }
                        Group::Below(a) => part.all::<V, _, ROWS, PANELS>(|row| Below {
                            start: a.start.add(row.wrapping_mul(a.row)),
                            row: a.row,
                        }),
                    }
                    if let (Some(finish), true) = (job.finish, first + steps >= job.k) {
                        finish(row..row_end, column..column + width);
                    }
                }
            }
            first += steps;
            if first >= job.k {
                break;
            }
        }
    }
}

/// # Safety
/// The block lies inside B.
#[inline(always)]
unsafe fn block_of_b<V: Lanes>(
    job: &Job,
    steps: Range<usize>,
    columns: Range<usize>,
    rows: usize,
    room: &mut Buffer,
) -> Block {
    let (count, width) = (steps.len(), columns.len());
    // SAFETY: as said above.
    let start = unsafe { job.b.add(steps.start * job.b_row + columns.start * job.b_column) };
    let whole = if job.b_column == 1 && rows < PACK_B_ROWS { width / LANES } else { 0 };
    let room = at_least(room, (width.div_ceil(LANES) - whole) * count * LANES);
    for panel in whole..width.div_ceil(LANES) {
        let to = &mut room[(panel - whole) * count * LANES..][..count * LANES];
        // SAFETY: the block lies inside B.
        unsafe {
            let from = Lines { start: start.add(panel * LANES * job.b_column), line: job.b_column, step: job.b_row };
            pack::<V, LANES>(from, LANES.min(width - panel * LANES), to);
        }
    }
    let packed = Columns { start: room.as_ptr(), panel: count * LANES, step: LANES };
    if whole == 0 {
        return Block { panels: packed, last: None, columns: width };
    }
    let panels = Columns { start, panel: LANES, step: job.b_row };
    Block { panels, last: (whole * LANES < width).then_some(packed), columns: width }
}

/// # Safety
/// The block lies inside A.
#[inline(always)]
unsafe fn block_of_a<V: Lanes, const ROWS: usize>(
    job: &Job,
    rows: Range<usize>,
    steps: Range<usize>,
    columns: usize,
    room: &mut Buffer,
) -> Group {
    // SAFETY: as said above.
    let start = unsafe { job.a.add(rows.start * job.a_row + steps.start * job.a_column) };
    if columns < PACK_A_COLUMNS && job.a_column == 1 {
        return Group::Below(Below { start, row: job.a_row });
    }
    if columns < PACK_A_COLUMNS && job.a_row == 1 {
        return Group::Beside(Beside { start, step: job.a_column });
    }
    let count = steps.len();
    let room = at_least(room, rows.len().next_multiple_of(ROWS) * count);
    for group in (0..rows.len()).step_by(ROWS) {
        let to = &mut room[group * count..][..ROWS * count];
        // SAFETY: the block lies inside A.
        unsafe {
            let from = Lines { start: start.add(group * job.a_row), line: job.a_row, step: job.a_column };
            pack::<V, ROWS>(from, ROWS.min(rows.len() - group), to);
        }
    }
    Group::Packed(room.as_ptr())
}

/// One block of A times one block of B.
struct Part {
    b: Block,
    c: *mut f32,
    c_row: usize,
    add: bool,
    rows: usize,
    steps: usize,
}

impl Part {
    /// Panels outside, rows inside: panels stay in the nearest cache while all rows pass over them. `a` gives the rows
    /// from one row on.
    #[inline(always)]
    unsafe fn all<V: Lanes, A: Regular, const ROWS: usize, const PANELS: usize>(&self, a: impl Fn(usize) -> A) {
        let panels = self.b.columns.div_ceil(LANES);
        let together = if self.b.last.is_some() { panels - 1 } else { panels };
        let mut panel = 0;
        // SAFETY: as `Job::run`.
        unsafe {
            while panel + PANELS <= together {
                self.column::<V, A, ROWS, PANELS>(self.b.panels, panel, &a);
                panel += PANELS;
            }
            while panel < panels {
                let from = match self.b.last {
                    Some(last) if panel == together => {
                        Columns { start: last.start.wrapping_sub(panel * last.panel), ..last }
                    }
                    _ => self.b.panels,
                };
                self.column::<V, A, ROWS, 1>(from, panel, &a);
                panel += 1;
            }
        }
    }

    #[inline(always)]
    unsafe fn column<V: Lanes, A: Regular, const ROWS: usize, const PANELS: usize>(
        &self,
        b: Columns,
        panel: usize,
        a: &impl Fn(usize) -> A,
    ) {
        let mut row = 0;
        // SAFETY: as `Job::run`.
        unsafe {
            let b = Columns { start: b.start.wrapping_add(panel.wrapping_mul(b.panel)), ..b };
            while row + ROWS <= self.rows {
                self.tile::<V, A, ROWS, PANELS>(a(row), b, row, panel);
                row += ROWS;
            }
            if row == self.rows {
                return;
            }
            // The last group of packed rows begins here.
            let (rest, first) = (a(row), row);
            while row + 4 <= self.rows {
                self.tile::<V, A, 4, PANELS>(rest.from(row - first), b, row, panel);
                row += 4;
            }
            while row < self.rows {
                self.tile::<V, A, 1, PANELS>(rest.from(row - first), b, row, panel);
                row += 1;
            }
        }
    }

    #[inline(always)]
    unsafe fn tile<V: Lanes, A: Regular, const ROWS: usize, const PANELS: usize>(
        &self,
        a: A,
        b: Columns,
        row: usize,
        panel: usize,
    ) {
        // SAFETY: as `Job::run`.
        unsafe {
            let sums = accumulate::<V, A, ROWS, PANELS>([[V::splat(0.0); PANELS]; ROWS], a, b, self.steps);
            for (r, sums) in sums.into_iter().enumerate() {
                for (n, sum) in sums.into_iter().enumerate() {
                    let column = panel.wrapping_add(n).wrapping_mul(LANES);
                    let to = self.c.add(row.wrapping_add(r).wrapping_mul(self.c_row)).add(column);
                    let left = self.b.columns.wrapping_sub(column);
                    if left >= LANES {
                        let sum = if self.add { sum.add(V::load(to)) } else { sum };
                        sum.store(to);
                    } else {
                        let sum = if self.add { sum.add(V::load_first(to, left)) } else { sum };
                        sum.store_first(to, left);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::at_every_level;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|n| ((n * 37 + seed * 101) % 211) as f32 / 105.0 - 1.0).collect()
    }

    /// Where a matrix of this size lies: rows, columns, or every second number of either with a gap.
    fn strides(rows: usize, columns: usize) -> [[usize; 2]; 4] {
        [[columns, 1], [1, rows], [2 * columns + 3, 2], [1, rows + 5]]
    }

    #[test]
    fn a_product_is_the_sum_in_f64_for_all_strides_sizes_and_threads() {
        const SIZES: [[usize; 3]; 13] = [
            [1, 1, 1],
            [1, 40, 7],
            [3, 5, 0],
            [5, 17, 3],
            [8, 32, 16],
            [9, 33, 641],
            [31, 16, 40],
            [7, 200, 30],
            [26, 130, 65],
            [200, 10, 33],
            [193, 64, 20],
            [64, 300, 70],
            [40, 1030, 5],
        ];
        let teams = std::cell::RefCell::new([2, 3, 4].map(Team::new));
        at_every_level(|level| {
            for [m, n, k] in SIZES {
                for ([a_row, a_column], [b_row, b_column]) in
                    strides(m, k).into_iter().flat_map(|a| strides(k, n).map(|b| (a, b)))
                {
                    let (a, b) = (numbers(reach(m, a_row, k, a_column), 1), numbers(reach(k, b_row, n, b_column), 2));
                    let a = Strided { data: &a, row: a_row, column: a_column };
                    let b = Strided { data: &b, row: b_row, column: b_column };
                    for add in [false, true] {
                        let place = format!("{level}, {m} x {n} x {k}, {a_row} {a_column} {b_row} {b_column}, {add}");
                        let c_row = n + 3;
                        let before = numbers(reach(m, c_row, n, 1) + 2, 3);
                        let mut c = before.clone();
                        matmul(&mut Team::new(1), [m, n, k], a, b, &mut c, c_row, add);
                        for (at, (found, before)) in c.iter().zip(&before).enumerate() {
                            let (i, j) = (at / c_row, at % c_row);
                            if i >= m || j >= n {
                                assert_eq!(found, before, "{place}: written outside, at {at}");
                                continue;
                            }
                            let product = |step: usize| {
                                let a = a.data[i * a_row + step * a_column];
                                f64::from(a) * f64::from(b.data[step * b_row + j * b_column])
                            };
                            let start = if add { f64::from(*before) } else { 0.0 };
                            let expected = (0..k).map(product).sum::<f64>() + start;
                            let error = (f64::from(*found) - expected).abs();
                            assert!(error < 2e-7 * k as f64 + 1e-6, "{place} [{i}, {j}]: {found} for {expected}");
                        }
                        for team in teams.borrow_mut().iter_mut() {
                            let (threads, mut again) = (team.threads(), before.clone());
                            matmul(team, [m, n, k], a, b, &mut again, c_row, add);
                            assert_eq!(c, again, "{place}, {threads} threads");
                        }
                    }
                }
            }
        });
    }

    #[test]
    fn sizes_are_checked() {
        let fails = |[a_row, a_column]: [usize; 2], [b_row, b_column]: [usize; 2], c: usize| {
            std::panic::catch_unwind(|| {
                let data = [0.0; 12];
                let a = Strided { data: &data, row: a_row, column: a_column };
                let b = Strided { data: &data, row: b_row, column: b_column };
                matmul(&mut Team::new(1), [3, 4, 3], a, b, &mut vec![0.0; c], 4, false);
            })
            .is_err()
        };
        assert!(!fails([3, 1], [4, 1], 12));
        assert!(fails([6, 1], [4, 1], 12) && fails([3, 1], [1, 5], 12) && fails([3, 1], [4, 1], 11));
        assert!(fails([usize::MAX, 1], [4, 1], 12));
    }
}
