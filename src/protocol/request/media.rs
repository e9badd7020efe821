//! What a prompt holds besides text: images, and what weir isn't shown.

use super::{Fault, IMAGES_MAX, Place, Reading, take};
use crate::protocol::json::Kind;
use crate::protocol::{CallFacts, Detail, Image, TextSpan};
use std::ops::Range;

impl CallFacts {
    /// Pictures, those that weir isn't shown included.
    pub fn images_count(&self) -> u64 {
        self.unseen_images.saturating_add(self.images.len() as u64)
    }
}

impl Reading<'_> {
    /// An image by its address, which may be a `data:` one.
    pub(in crate::protocol) fn image_url(&mut self, place: &Place) -> Result<(), Fault> {
        let url = self.required_string(place)?;
        let data = self.data_of(&url);
        self.push_image(data, Detail::Unsaid)
    }

    /// An image as base64.
    pub(in crate::protocol) fn image_base64(&mut self, place: &Place) -> Result<(), Fault> {
        let data = self.required_string(place)?;
        // An escaped one is no base64 as it stands: its size stays unread.
        let data = (!data.escaped).then_some(data.span);
        self.push_image(data, Detail::Unsaid)
    }

    /// An array of images as base64, or null.
    pub(in crate::protocol) fn images_base64(&mut self, place: &Place) -> Result<(), Fault> {
        self.each(place, take::image_base64)
    }

    pub(in crate::protocol) fn push_image(
        &mut self,
        data: Option<Range<usize>>,
        detail: Detail,
    ) -> Result<(), Fault> {
        if self.images.len() == IMAGES_MAX {
            return Err(Fault::body(
                "The body holds more images than this gateway reads (4096).",
            ));
        }
        self.images.push(Image { data, detail });
        Ok(())
    }

    /// The base64 of a `data:` address; `None` where it is any other, or
    /// written with escapes.
    pub(in crate::protocol) fn data_of(&self, url: &TextSpan) -> Option<Range<usize>> {
        const MARK: &[u8] = b";base64,";
        // Media types are short; what follows them may be megabytes.
        const FRONT_BYTES_MAX: usize = 256;
        let bytes = self.json.bytes(&url.span);
        let front = bytes.get(..bytes.len().min(FRONT_BYTES_MAX))?;
        if url.escaped || !front.get(..5)?.eq_ignore_ascii_case(b"data:") {
            return None;
        }
        let at = front.windows(MARK.len()).position(|w| w == MARK)?;
        Some(url.span.start + at + MARK.len()..url.span.end)
    }

    /// A value that refers to input which only the provider can see: how much
    /// it is can't be counted here.
    pub(in crate::protocol) fn unseen(&mut self, _: &Place) -> Result<(), Fault> {
        if self.json.peek()? != Kind::Null {
            self.unseen_input = true;
        }
        self.skip()
    }

    /// As [`Self::unseen`], of a picture.
    pub(in crate::protocol) fn unseen_image(&mut self, place: &Place) -> Result<(), Fault> {
        self.unseen_images += u64::from(self.json.peek()? != Kind::Null);
        self.unseen(place)
    }

    /// As [`Self::unseen`], unless it is an empty array.
    pub(in crate::protocol) fn unseen_unless_empty(&mut self, place: &Place) -> Result<(), Fault> {
        match self.json.peek()? {
            Kind::Array => self.each(place, take::unseen),
            _ => self.unseen(place),
        }
    }
}
