//! What tokens cost.

/// Prices in nano-dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Price {
    pub input: u64,
    /// Of input that the provider had cached.
    pub cached_input: u64,
    pub output: u64,
}

const PER_TOKENS: u128 = 1_000_000;

impl Price {
    /// The cost in nano-dollars, rounded up. The cached tokens are part of the
    /// input.
    pub fn cost_nanos(&self, input: u64, cached_input: u64, output: u64) -> u64 {
        let cached = cached_input.min(input);
        let parts = [
            (input - cached, self.input),
            (cached, self.cached_input),
            (output, self.output),
        ];
        // Each product is below 2^128, and three can't overflow where a price
        // is below 2^62.
        let sum = parts.into_iter().fold(0_u128, |sum, (tokens, price)| {
            sum.saturating_add(u128::from(tokens).saturating_mul(u128::from(price)))
        });
        u64::try_from(sum.div_ceil(PER_TOKENS)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_tokens_are_charged_once_at_their_own_price() {
        // $2.50, $1.25 and $10 per million.
        let price = Price {
            input: 2_500_000_000,
            cached_input: 1_250_000_000,
            output: 10_000_000_000,
        };
        assert_eq!(price.cost_nanos(1_000, 0, 100), 2_500_000 + 1_000_000);
        assert_eq!(price.cost_nanos(1_000, 400, 0), 1_500_000 + 500_000);
        assert_eq!(
            price.cost_nanos(10, 99, 0),
            12_500,
            "no more than the input"
        );
        let small = Price {
            input: 1,
            cached_input: 0,
            output: 0,
        };
        assert_eq!(small.cost_nanos(1, 0, 0), 1, "never rounded to nothing");
        assert_eq!(price.cost_nanos(u64::MAX, 0, u64::MAX), u64::MAX);
    }
}
