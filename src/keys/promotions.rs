//! The keys of a model's promotions.toml.

use super::key::{COUNT, File, Key, Shape, Takes, key, section};

pub const PROMOTIONS: File = File {
    name: "promotions",
    path: "models/NAME/promotions.toml",
    about: "Which version an alias means, and since when. `daymill models promote` appends to it; nothing edits it.",
    root: Shape::of(&ROOT),
};

const ROOT: [Key; 1] = [section("promotion", Takes::Tables(&PROMOTION), "From a time on, an alias means a version.")];

const PROMOTION: Shape = Shape::of(&[
    key("alias", Takes::Text, "The alias.", "\"champion\"").required(),
    key("version", COUNT, "The version that it means.", "3").required(),
    key("at", Takes::Text, "Since when.", "\"2013-06-01T00:00:00Z\"").required(),
    key("note", Takes::Text, "Why.", "\"lower loss on May\""),
]);
