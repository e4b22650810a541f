//! Reads an audit log as a stranger would: from C2SP tlog-tiles' published format, with no code of the log's own.

use serde_json::Value;
use std::path::Path;

/// Entries per full bundle.
const WIDTH: usize = 256;

/// All published entries, in order. Checks nothing: `airgate audit verify` does.
///
/// # Panics
/// Where the folder does not hold what its checkpoint announces.
#[must_use]
pub fn entries(folder: &Path) -> Vec<Value> {
    let checkpoint = std::fs::read_to_string(folder.join("checkpoint")).expect("a checkpoint");
    let size: usize =
        checkpoint.lines().nth(1).and_then(|l| l.parse().ok()).expect("the checkpoint's second line is the size");
    let mut all = Vec::with_capacity(size);
    for number in 0..size.div_ceil(WIDTH) {
        let width = (size - number * WIDTH).min(WIDTH);
        let mut path = folder.join("tile/entries").join(tile_path(number));
        if width < WIDTH {
            path.as_mut_os_string().push(format!(".p/{width}"));
        }
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut rest = bytes.as_slice();
        while let [high, low, tail @ ..] = rest {
            let (entry, after) = tail.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            all.push(serde_json::from_slice(entry).expect("an entry is JSON"));
            rest = after;
        }
    }
    assert_eq!(all.len(), size, "entries of {}", folder.display());
    all
}

/// `1234067` is `x001/x234/067`.
fn tile_path(number: usize) -> String {
    let mut path = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    path
}
