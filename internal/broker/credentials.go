package broker

// ForCredentials says whether a header's name says that it holds a credential.
func ForCredentials(name string) bool { return forCredentials(name) }
