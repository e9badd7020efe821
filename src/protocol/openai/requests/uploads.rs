//! Recordings and pictures that are uploaded as forms.

use crate::protocol::request::{Upload, What};

pub(in crate::protocol) const TRANSCRIPTIONS: Upload = Upload {
    parts: &[
        ("model", What::Model),
        ("file", What::Recording),
        ("prompt", What::Text),
        ("stream", What::Stream),
    ],
    input: "file",
    usual_model: None,
};

pub(in crate::protocol) const IMAGE_EDITS: Upload = Upload {
    parts: &[
        ("model", What::Model),
        ("image", What::Image),
        ("mask", What::Image),
        ("prompt", What::Text),
        ("n", What::Choices),
        ("stream", What::Stream),
    ],
    input: "image",
    usual_model: Some("dall-e-2"),
};
