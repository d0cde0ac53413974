//! What it takes to delete in batches, whatever is deleted.

use std::collections::BTreeMap;

/// Keys of two columns, by the first of them: no `IN` takes both on both databases, and the second alone would be
/// looked for in the whole table.
pub(super) fn by_first<K: Ord, V>(keys: Vec<(K, V)>) -> BTreeMap<K, Vec<V>> {
    let mut grouped: BTreeMap<K, Vec<V>> = BTreeMap::new();
    for (first, second) in keys {
        grouped.entry(first).or_default().push(second);
    }
    grouped
}

/// What a batch has room for, when so many rows are gone.
pub(super) fn rest(at_most: i64, gone: usize) -> i64 {
    at_most.saturating_sub_unsigned(gone as u64)
}
