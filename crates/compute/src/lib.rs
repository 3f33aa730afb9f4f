//! Match jobs with offers, follow each lease, meter what was used, judge results.
