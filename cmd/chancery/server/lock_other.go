//go:build !unix || solaris || aix

package server

// lockDirectory takes no lock where the system has none that ends with the
// process: there it is up to the operator that one process uses the directory.
func lockDirectory(string) (unlock func() error, err error) {
	return func() error { return nil }, nil
}
