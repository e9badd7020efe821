//! The ways to read a field, as tables of fields name them.
//!
//! They are functions of their own because a method of [`Reading`] is one for
//! each body's lifetime, and a table needs one for all.

use super::{Fault, Place, Reading};

macro_rules! ways {
    ($($name:ident)*) => {
        $(
            pub(in crate::protocol) fn $name(
                reading: &mut Reading<'_>,
                place: &Place<'_>,
            ) -> Result<(), Fault> {
                reading.$name(place)
            }
        )*
    };
}

ways! {
    any_text best_of image_base64 image_url images_base64 input_text input_texts metadata model n
    optional_model optional_text output_max output_max_or_negative pass same_model
    service_tier stream stream_options text texts token_id tools unpriced unseen
    unseen_image
}
