//! Keep, place, prove, repair and serve content-addressed data.
