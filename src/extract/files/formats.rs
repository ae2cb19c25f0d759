//! The kinds of files, and which reader each has.

use super::format::Format;
use super::parquet::Parquet;
use super::text::Text;
use crate::project::job::FileFormat;

/// The reader of a kind of file.
pub fn of(format: &FileFormat) -> Box<dyn Format + '_> {
    match format {
        FileFormat::Parquet => Box::new(Parquet::default()),
        FileFormat::Csv(options) => Box::new(Text::Csv(options)),
        FileFormat::JsonLines => Box::new(Text::JsonLines),
    }
}
