//! Random numbers whose beginning is printed, so that what they found can be found again.

use std::time::SystemTime;

/// Where the first number comes from, if not from the clock.
const SEED: &str = "GNOTIFY_SEED";
/// How often a test repeats its work; `make test-long` and `make torture` ask for more.
const ROUNDS: &str = "GNOTIFY_ROUNDS";

/// Knuth's MMIX generator.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers that follow `seed`.
    pub fn seeded(seed: u64) -> Random {
        // Seeds that lie side by side must not begin alike.
        let mut random = Random(seed ^ 0x9e37_79b9_7f4a_7c15);
        random.number();
        random
    }

    /// A number.
    pub fn number(&mut self) -> u64 {
        let (factor, step) = (6_364_136_223_846_793_005, 1_442_695_040_888_963_407);
        self.0 = self.0.wrapping_mul(factor).wrapping_add(step);
        self.0 >> 33
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// True once in `many` times.
    pub fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    /// One of `choices`, which are not none.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let at = self.below(choices.len() as u64);
        choices[usize::try_from(at).unwrap_or(0)]
    }

    /// Other numbers, for another thread.
    #[must_use]
    pub fn split(&mut self) -> Random {
        Random::seeded(self.number() << 31 ^ self.number())
    }
}

/// `GNOTIFY_SEED`, or a number from the clock. It is printed.
///
/// # Panics
/// When the variable is no number.
pub fn seed() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seed = variable(SEED).unwrap_or(u64::from(since.subsec_nanos()) ^ since.as_secs() << 20);
    println!("seed {seed}: {SEED}={seed} does the same again");
    seed
}

/// `GNOTIFY_ROUNDS`, or `usual`.
///
/// # Panics
/// When the variable is no number.
pub fn rounds(usual: u64) -> u64 {
    variable(ROUNDS).unwrap_or(usual)
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}")))
}
