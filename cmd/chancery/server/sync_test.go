package server

import "os"

// SetSync makes a function take the place of fsync on the embedded log's files.
func SetSync(c *Config, sync func(*os.File) error) { c.sync = sync }
