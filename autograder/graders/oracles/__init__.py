"""How graders of several assignments judge the same thing: masks, dropout, gradients, devices, random draws."""
