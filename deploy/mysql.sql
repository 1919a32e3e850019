-- Every service has a database of its own, whose name begins with the bank's; `jangbu migrate` makes them.
GRANT ALL ON `jangbu\_%`.* TO 'jangbu'@'%';
