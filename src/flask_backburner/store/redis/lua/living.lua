-- What is told of the workers that are alive.
return living()
