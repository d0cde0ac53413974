//! Whether a quantity stays where it is: the slope of the line through its samples by least squares, and where it lies
//! in 95 of 100 cases.
//!
//! What a process holds now it mostly held a minute ago: its samples say less than as many drawn ones would. So the
//! interval is as wide as for the number of samples that are worth as much, by the correlation of what is left of
//! each beside the line with the next (Santer et al. 2000).

/// A line through samples.
pub struct Trend {
    pub mean: f64,
    pub last: f64,
    /// In an hour, and how far it may lie off to either side.
    pub slope: f64,
    pub give: f64,
}

impl Trend {
    /// Of samples at these hours; there have to be four.
    pub fn of(samples: &[(f64, f64)]) -> Option<Self> {
        if samples.len() < 4 {
            return None;
        }
        let n = samples.len() as f64;
        let mean_of = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / n;
        let (middle, mean) = (mean_of(|sample| sample.0), mean_of(|sample| sample.1));
        let spread: f64 = samples.iter().map(|(at, _)| (at - middle).powi(2)).sum();
        let along = samples.iter().map(|(at, is)| (at - middle) * (is - mean));
        let slope = along.sum::<f64>() / spread;
        let left = samples
            .iter()
            .map(|(at, is)| is - mean - slope * (at - middle));
        let left: Vec<f64> = left.collect();
        let squares: f64 = left.iter().map(|left| left.powi(2)).sum();
        let worth = n * (1.0 - persistence(&left, squares)) / (1.0 + persistence(&left, squares));
        let freedom = (worth - 2.0).max(1.0);
        let error = (squares / freedom / spread).sqrt();
        Some(Self {
            mean,
            last: samples.last()?.1,
            slope,
            give: error * quantile(freedom),
        })
    }

    pub fn is_flat(&self) -> bool {
        self.slope.abs() <= self.give
    }

    pub fn verdict(&self) -> &'static str {
        match (self.is_flat(), self.slope > 0.0) {
            (true, _) => "flat",
            (_, true) => "rises",
            (_, false) => "falls",
        }
    }
}

/// How much of what is left beside the line is left beside it a sample later.
fn persistence(left: &[f64], squares: f64) -> f64 {
    let pairs = left.windows(2).map(|pair| pair[0] * pair[1]);
    let correlation = if squares > 0.0 {
        pairs.sum::<f64>() / squares
    } else {
        0.0
    };
    correlation.clamp(0.0, 0.95)
}

/// Of Student's distribution, for 95 of 100 (Cornish and Fisher's expansion, good to a hundredth from four degrees of
/// freedom on).
fn quantile(freedom: f64) -> f64 {
    1.96 + 2.372 / freedom + 2.823 / freedom.powi(2) + 2.556 / freedom.powi(3)
}
