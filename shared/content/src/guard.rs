//! A fence around third-party parsers: what panics inside comes out as a value.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// The message of a panic that was caught.
#[derive(Debug)]
pub(crate) struct Panicked(pub(crate) String);

/// Runs a parser. Whatever it touched is dropped after a panic, hence no broken state can be seen.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let message = payload
            .downcast_ref::<&str>()
            .map(|message| (*message).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned());
        Panicked(message.unwrap_or_else(|| "unknown".to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(guarded(|| 1).unwrap(), 1);
        let code = 7;
        assert_eq!(guarded(|| panic!("code {code}")).unwrap_err().0, "code 7");
    }
}
