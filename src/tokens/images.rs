//! What a provider counts for a picture: from its width and height, which are
//! read from the picture's header, and from the provider's rule.
//!
//! Sources: OpenAI, "Images and vision: calculating costs"; Anthropic,
//! "Vision: evaluate image size"; Google, "Image understanding: token
//! calculation" (all as of 2025-11).
//!
//! Always holds: integers only; a picture of unknown size costs the most that
//! its rule can come to.

mod header;

pub use header::size_of_base64;

/// Width and height in pixels, none of them 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub width: u32,
    pub height: u32,
}

/// What OpenAI's requests call `detail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    Low,
    /// `high`, `auto`, or left out.
    #[default]
    High,
}

/// A provider's rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// OpenAI: so many tokens a picture and so many for each 512 pixel tile of
    /// it, after it was fitted into 2048 by 2048 and its short side into 768.
    Tiles { base: u64, tile: u64 },
    /// OpenAI: patches of 32 pixels, at most 1536 of them, times so many per
    /// mille.
    Patches { per_mille: u64 },
    /// Anthropic: the area by 750, after the long side was fitted into 1568.
    Area,
    /// Google: 258 tokens a tile.
    Crops,
}

const TILE_PIXELS: u64 = 512;
const TILES_SQUARE_PIXELS: u64 = 2048;
const TILES_SHORT_PIXELS: u64 = 768;
/// Of a picture that was fitted: 768 by 2048.
const TILES_MAX: u64 = 8;

const PATCH_PIXELS: u64 = 32;
const PATCHES_MAX: u64 = 1536;

const AREA_LONG_PIXELS: u64 = 1568;
const AREA_PIXELS_A_TOKEN: u64 = 750;
const AREA_TOKENS_MAX: u64 = 1600;

const CROP_TOKENS: u64 = 258;
/// A picture with no longer side is one crop.
const CROP_WHOLE_PIXELS: u64 = 384;
const CROP_PIXELS_MIN: u64 = 256;
const CROP_PIXELS_MAX: u64 = 768;
/// Larger pictures are scaled down: 3072 by 3072.
const CROPS_MAX: u64 = 16;

/// The first prefix that fits decides, so longer ones stand first.
const RULES: &[(&str, Rule)] = &[
    ("gpt-4o-mini", tiles(2833, 5667)),
    ("gpt-4.1-mini", patches(1620)),
    ("gpt-4.1-nano", patches(2460)),
    ("gpt-5-mini", patches(1620)),
    ("gpt-5-nano", patches(2460)),
    ("o4-mini", patches(1720)),
    ("gpt-4o", tiles(85, 170)),
    ("gpt-4.1", tiles(85, 170)),
    ("gpt-4.5", tiles(85, 170)),
    ("gpt-4", tiles(85, 170)),
    ("gpt-5", tiles(70, 140)),
    ("o1", tiles(75, 150)),
    ("o3", tiles(75, 150)),
    ("computer-use-preview", tiles(65, 129)),
    ("gpt-image", tiles(65, 129)),
    ("claude", Rule::Area),
    ("gemini", Rule::Crops),
];

const fn tiles(base: u64, tile: u64) -> Rule {
    Rule::Tiles { base, tile }
}

const fn patches(per_mille: u64) -> Rule {
    Rule::Patches { per_mille }
}

impl Rule {
    /// The rule of a model, where its name tells.
    pub fn of_model(model: &str) -> Option<Self> {
        let mut rules = RULES.iter();
        let known = rules.find(|(name, _)| super::ratios::names(model, name));
        known.map(|(_, rule)| *rule)
    }

    /// The most tokens that a picture can come to.
    pub fn tokens_max(self) -> u64 {
        match self {
            Rule::Tiles { base, tile } => base + TILES_MAX * tile,
            Rule::Patches { per_mille } => (PATCHES_MAX * per_mille).div_ceil(1000),
            Rule::Area => AREA_TOKENS_MAX,
            Rule::Crops => CROPS_MAX * CROP_TOKENS,
        }
    }
}

/// Tokens of one picture.
pub fn tokens(rule: Rule, size: Option<Size>, detail: Detail) -> u64 {
    if let (Rule::Tiles { base, .. }, Detail::Low) = (rule, detail) {
        return base;
    }
    let Some(size) = size else {
        return rule.tokens_max();
    };
    let (width, height) = (u64::from(size.width.max(1)), u64::from(size.height.max(1)));
    match rule {
        Rule::Tiles { base, tile } => base + tile * tiles_of(width, height),
        Rule::Patches { per_mille } => (patches_of(width, height) * per_mille).div_ceil(1000),
        Rule::Area => area_tokens(width, height),
        Rule::Crops => CROP_TOKENS * crops_of(width, height),
    }
}

fn tiles_of(width: u64, height: u64) -> u64 {
    let (long, short) = (width.max(height), width.min(height));
    // Both sides scaled by the same fraction, `to / from`, at most 1.
    let fitted = fraction(TILES_SQUARE_PIXELS, long);
    let (to, from) = match short * fitted.0 > TILES_SHORT_PIXELS * fitted.1 {
        true => (TILES_SHORT_PIXELS, short),
        false => fitted,
    };
    let tiles = |side: u64| (side * to).div_ceil(from * TILE_PIXELS).max(1);
    tiles(width) * tiles(height)
}

fn patches_of(width: u64, height: u64) -> u64 {
    let patches = width.div_ceil(PATCH_PIXELS) * height.div_ceil(PATCH_PIXELS);
    if patches <= PATCHES_MAX {
        return patches;
    }
    // Scaled so that the area is that of the most patches, then a little more
    // so that one side is a whole number of them.
    let columns = (PATCHES_MAX * width / height).isqrt().max(1);
    let rows = (PATCHES_MAX * height / width).isqrt().max(1);
    let scaled = if columns * height <= rows * width {
        columns * (height * columns).div_ceil(width)
    } else {
        rows * (width * rows).div_ceil(height)
    };
    scaled.min(PATCHES_MAX)
}

fn area_tokens(width: u64, height: u64) -> u64 {
    let (to, from) = fraction(AREA_LONG_PIXELS, width.max(height));
    // A side is at most 2^32, so its square by the square of 1568 fits.
    let area = u128::from(width) * u128::from(height) * u128::from(to * to);
    let tokens =
        area.div_ceil(u128::from(from) * u128::from(from) * u128::from(AREA_PIXELS_A_TOKEN));
    u64::try_from(tokens).map_or(AREA_TOKENS_MAX, |tokens| tokens.min(AREA_TOKENS_MAX))
}

fn crops_of(width: u64, height: u64) -> u64 {
    if width.max(height) <= CROP_WHOLE_PIXELS {
        return 1;
    }
    let unit = (width.min(height) * 2 / 3).clamp(CROP_PIXELS_MIN, CROP_PIXELS_MAX);
    (width.div_ceil(unit) * height.div_ceil(unit)).min(CROPS_MAX)
}

/// What makes a side of `from` one of at most `to`.
fn fraction(to: u64, from: u64) -> (u64, u64) {
    if from > to { (to, from) } else { (1, 1) }
}

#[cfg(test)]
mod tests;
