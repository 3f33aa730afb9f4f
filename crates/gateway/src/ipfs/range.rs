//! One range of bytes (RFC 9110 section 14). Several ranges, other units and nonsense are ignored, as the RFC allows: the
//! answer is then the whole file.

use crate::extract::number;
use std::ops::Range;

/// What a client asks for, before the size is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// From the first position on.
    From(u64),
    /// From the first to the last position, both included; never empty.
    Between(u64, u64),
    /// So many bytes at the end.
    Last(u64),
}

/// Reads the value of a `Range` header.
pub(super) fn read(header: &str) -> Option<Asked> {
    let (unit, range) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    match (first, last) {
        ("", count) => number(count).map(Asked::Last),
        (first, "") => number(first).map(Asked::From),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Asked::Between(first, last))
        }
    }
}

impl Asked {
    /// The part of a file of `size` bytes that is meant; `None` if there is none.
    pub fn within(self, size: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::From(first) => first..size,
            Self::Between(first, last) => first..last.saturating_add(1).min(size),
            Self::Last(count) => size.saturating_sub(count)..size,
        };
        (range.start < range.end).then_some(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(header: &str, size: u64) -> Option<Range<u64>> {
        read(header).expect(header).within(size)
    }

    #[test]
    fn each_kind_of_range_is_cut_to_the_file() {
        assert_eq!(part("bytes=0-0", 10), Some(0..1));
        assert_eq!(part("bytes=3-", 10), Some(3..10));
        assert_eq!(part("bytes=3-99", 10), Some(3..10));
        assert_eq!(part("bytes=-4", 10), Some(6..10));
        assert_eq!(part("bytes=-99", 10), Some(0..10));
        assert_eq!(part("Bytes= 9-18446744073709551615", 10), Some(9..10));
    }

    #[test]
    fn what_lies_outside_is_nothing() {
        for header in ["bytes=10-", "bytes=10-11", "bytes=-0"] {
            assert_eq!(part(header, 10), None, "{header}");
        }
        assert_eq!(part("bytes=0-", 0), None);
        assert_eq!(part("bytes=-1", 0), None);
    }

    #[test]
    fn everything_else_is_ignored() {
        for header in
            ["", "bytes", "bytes=", "bytes=-", "bytes=5-4", "bytes=0-1,3-4", "lines=1-2", "bytes=a-b", "bytes=+1-2"]
        {
            assert_eq!(read(header), None, "{header:?}");
        }
    }
}
