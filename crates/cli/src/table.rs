//! Columns for people: as wide as their widest entry, two spaces apart.

/// Rows of text under a header.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column names.
    pub fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|name| name.to_uppercase()).collect()] }
    }

    /// Adds a row; it has as many entries as the header.
    pub fn row<I: Into<String>>(&mut self, entries: impl IntoIterator<Item = I>) {
        self.rows.push(entries.into_iter().map(Into::into).collect());
    }

    /// The table, one row a line, without spaces at the ends of lines.
    pub fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let entries = self.rows.iter().filter_map(|row| row.get(column));
            entries.map(|entry| entry.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = String::new();
        for row in &self.rows {
            let entries = row.iter().zip(&widths).map(|(entry, width)| format!("{entry:<width$}"));
            out.push_str(entries.collect::<Vec<_>>().join("  ").trim_end());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_with_their_text() {
        let mut table = Table::new(&["id", "name"]);
        table.row(["1", "an é"]);
        table.row(["1000", ""]);
        assert_eq!(table.render(), "ID    NAME\n1     an é\n1000\n");
    }
}
