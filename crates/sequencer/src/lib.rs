//! Order opaque transactions into finalised blocks with a Byzantine quorum.
