-- How the frames of a clip look in which someone appears: 32 bytes a frame, of which no picture can be made. It outlives the clip, as its
-- traces do, so that it is known again when its file was changed.
CREATE TABLE likeness_looks (
    generation UUID PRIMARY KEY,
    frames BYTEA NOT NULL
);
