-- The document of a film of several shots, as JSON.
ALTER TABLE generations ADD COLUMN storyboard TEXT;
