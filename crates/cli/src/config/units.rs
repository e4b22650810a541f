//! Durations and sizes as people write them.

use std::time::Duration;

/// `500ms`, `5s`, `2m`, `1h`: a whole number and one unit.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => return None,
    };
    number.checked_mul(ms).map(Duration::from_millis)
}

/// `512`, `512B`, `64KiB`, `16MiB`, `1GiB`, `1TiB`, in bytes.
pub(crate) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

/// The largest unit that divides it.
pub(crate) fn show_size(bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.iter().find(|(_, shift)| bytes != 0 && bytes.trailing_zeros() >= *shift) {
        Some((unit, shift)) => format!("{}{unit}", bytes >> shift),
        None => format!("{bytes}B"),
    }
}

/// Digits, then the rest. No sign, no blank, no fraction.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_whole_number_and_a_unit() {
        let good = [("0s", 0), ("500ms", 500), ("5s", 5_000), ("2m", 120_000), ("24h", 86_400_000)];
        for (text, ms) in good {
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in
            ["", "5", "s", "-5s", "+5s", "5 s", "1.5s", "5S", "5d", "99999999999999999999s", "18446744073709551615h"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_binary() {
        let good = [("0", 0), ("512", 512), ("512B", 512), ("64KiB", 65_536), ("1GiB", 1 << 30)];
        for (text, bytes) in good {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "64KB", "64kib", "1.5MiB", "-1", "18446744073709551615KiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn a_shown_size_reads_back() {
        for bytes in [0, 1, 256, 1024, 6144, 65_536, 1 << 30, (1 << 40) + 1024] {
            assert_eq!(size(&show_size(bytes)), Some(bytes));
        }
    }
}
