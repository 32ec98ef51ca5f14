// Package platform is what the platforms below it have in common: our program
// as it is put into bottles, the accounts and the environment inside, the names
// of bottles, the stream that boots a guest, why a bottle is lost, and the watch
// over its disk. It knows no engine and no namespace.
package platform
