//! Every type of problem, in one table.

macro_rules! problem_types {
    ($($variant:ident $status:literal $name:literal $retryable:literal $title:literal;)*) => {
        /// Every type of problem. The table in this file is the only place that says what each is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ProblemType { $(#[doc = $title] $variant),* }

        impl ProblemType {
            /// Every type, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name, the last part of its URI path.
            pub const fn name(self) -> &'static str { match self { $(Self::$variant => $name),* } }
            /// The HTTP status it comes with.
            pub const fn status(self) -> u16 { match self { $(Self::$variant => $status),* } }
            /// What it is, the same for every occurrence.
            pub const fn title(self) -> &'static str { match self { $(Self::$variant => $title),* } }
            /// Whether the same request may succeed later.
            pub const fn retryable(self) -> bool { match self { $(Self::$variant => $retryable),* } }
        }
    };
}

problem_types! {
    InvalidRequest         400 "invalid-request"          false "The request cannot be read";
    Unauthorized           401 "unauthorized"             false "A valid API key is needed";
    Forbidden              403 "forbidden"                false "The key may not do this";
    NotFound               404 "not-found"                false "There is no such thing";
    MethodNotAllowed       405 "method-not-allowed"       false "The address does not take this method";
    BodyIncomplete         408 "body-incomplete"          true  "The request's body broke off";
    StateConflict          409 "state-conflict"           false "The job's state does not allow it";
    NotReady               409 "not-ready"                true  "It is not ready yet";
    DuplicateJob           409 "duplicate-job"            false "A job with the same unique key is not over";
    NameTaken              409 "name-taken"               false "The name is taken";
    TooManyLimits          409 "too-many-limits"          false "There are too many limits already";
    SpaceInUse             409 "space-in-use"             false "The embedding space is in use";
    ModelNotConfigured     409 "model-not-configured"     false "The model is not configured any more";
    IdempotencyInFlight    409 "idempotency-in-flight"    true  "The first request with this key has not ended";
    TooLarge               413 "too-large"                false "The body is too large";
    UnsupportedMedia       415 "unsupported-media"        false "The content type is not accepted";
    EmptyDocument          422 "empty-document"           false "The document is empty";
    InvalidUrl             422 "invalid-url"              false "The URL cannot be fetched";
    AddressNotAllowed      422 "address-not-allowed"      false "The address may not be fetched from";
    UnknownKind            422 "unknown-kind"             false "There is no such kind of job";
    InvalidArgs            422 "invalid-args"             false "The arguments do not fit the kind of job";
    InvalidDependency      422 "invalid-dependency"       false "The job cannot follow what it is to follow";
    BatchRejected          422 "batch-rejected"           false "A job of the batch was refused, and so all were";
    IdempotencyKeyReused   422 "idempotency-key-reused"   false "The key came with another request before";
    Internal               500 "internal"                 false "Something went wrong on our side";
    Unavailable            503 "unavailable"              true  "A part of the service cannot be reached";
}
