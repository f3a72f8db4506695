//! Numbers below the smallest normal one (1.2e-38) count as 0 while a network works. What an optimiser remembers of units that
//! fell silent fades to such numbers, and on some CPUs every operation on one takes a hundred times as long.

/// Has this thread take numbers below the smallest normal one as 0, until it is dropped.
pub(crate) struct FlushDenormals {
    #[cfg(target_arch = "x86_64")]
    before: u32,
}

#[cfg(target_arch = "x86_64")]
impl FlushDenormals {
    /// Results too small become 0 (bit 15), operands too small are read as 0 (bit 6); Intel's manual, volume 1, 10.2.3.
    const BITS: u32 = 1 << 15 | 1 << 6;

    pub(crate) fn new() -> Self {
        let before = read();
        write(before | Self::BITS);
        Self { before }
    }
}

#[cfg(target_arch = "x86_64")]
impl Drop for FlushDenormals {
    fn drop(&mut self) {
        write(self.before);
    }
}

#[cfg(target_arch = "x86_64")]
fn read() -> u32 {
    let mut control = 0u32;
    // SAFETY: every x86-64 has the register; the instruction writes the four bytes of `control`.
    unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut control, options(nostack, preserves_flags)) };
    control
}

#[cfg(target_arch = "x86_64")]
fn write(control: u32) {
    // SAFETY: only the two bits above differ from what the thread began with: no operation fails for it, and nothing that is
    // computed meanwhile depends on numbers so small. The instruction reads the four bytes of `control`.
    unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const control, options(nostack, preserves_flags)) };
}

#[cfg(not(target_arch = "x86_64"))]
impl FlushDenormals {
    /// Other CPUs take no longer for them.
    pub(crate) fn new() -> Self {
        Self {}
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_are_zero_until_the_end() {
        let half = |x: f32| std::hint::black_box(x) * std::hint::black_box(0.5);
        assert!(half(f32::MIN_POSITIVE) > 0.0);
        {
            let _small = FlushDenormals::new();
            assert_eq!(half(f32::MIN_POSITIVE), 0.0);
            let _again = FlushDenormals::new();
        }
        assert!(half(f32::MIN_POSITIVE) > 0.0);
    }
}
