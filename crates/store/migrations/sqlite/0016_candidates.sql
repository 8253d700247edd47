-- Beginnings of a clip of which the best is finished.
ALTER TABLE generations ADD COLUMN candidates INTEGER;
